"""Showing a running job on standard error: as a bar on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar

from mlsession.cli.printing.meter import Meter
from mlsession.cli.printing.narrator import Narrator, metric_words
from mlsession.cli.printing.text import duration, percent, plain
from mlsession.clock import Clock, SystemClock
from mlsession.errors import Interrupted
from mlsession.events import Event

if TYPE_CHECKING:
    from mlsession.job.job import Job

T = TypeVar("T")
QUIET_SECONDS = 1.0
"""Between two passing lines at least."""
WIDE = 110
"""Columns from which metrics are written out."""
_LAST_LINES_SECONDS = 5.0
"""How long a finished job waits for a terminal that does not take its last lines."""
_LOOK_SECONDS = 0.05
"""Python hears a signal in the main thread. Where the system gave it to another one, as it may when a process that was
stopped goes on, the main one must come to look."""


class Screen(Protocol):
    """Where events are shown."""

    def show(self, event: Event) -> None:
        """Shows the next event."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was; idempotent, from any thread."""
        ...


class PlainScreen:
    """Lines for a file, a pipe or a log: the course of things at once, passing ones once a second at most."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._narrator = Narrator()
        self._last = -QUIET_SECONDS

    def show(self, event: Event) -> None:
        for line in self._narrator.lines(event):
            now = self._clock.monotonic()
            if line.passing and now - self._last < QUIET_SECONDS:
                continue
            if line.passing:
                self._last = now
            self._stream.write(f"{line.text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing to leave."""


class TerminalScreen:
    """One bar for the present phase, and the lines of what is past above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._narrator = Narrator()
        self._console = Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=True)
        wide = self._console.width >= WIDE
        self._progress = Progress(
            SpinnerColumn("line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=40 if wide else None),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
            transient=True,
            expand=not wide,
            refresh_per_second=5,
        )
        self._task = self._progress.add_task("preparing", total=None, words="")
        self._progress.start()

    def show(self, event: Event) -> None:
        for line in self._narrator.lines(event):
            if not line.passing:
                self._progress.print(line.text, soft_wrap=True)
        meter = self._narrator.meter
        if meter is None:
            return
        self._progress.update(
            self._task,
            description=plain(meter.phase),
            total=meter.total,
            completed=meter.done,
            words=bar_words(meter, self._console.width),
        )

    def close(self) -> None:
        self._progress.stop()


def bar_words(meter: Meter, width: int) -> str:
    """What stands behind the bar on a terminal of `width` columns."""
    if meter.latest is None:
        return ""
    words = [f"{meter.done:,}/{meter.total:,} {meter.unit}" if meter.total else meter.counted]
    if meter.unit == "images" and meter.rate is not None:
        words.append(f"{meter.rate:.1f}/s")
    if width >= WIDE:
        words += metric_words(meter.latest)
    elif "accuracy" in meter.latest.metrics:
        words.append(f"loss {meter.latest.metrics.get('loss', float('nan')):.3g}")
        words.append(f"accuracy {percent(meter.latest.metrics['accuracy'])}")
    if meter.seconds_left is not None:
        words.append(f"{duration(meter.seconds_left)} left")
    return "  ".join(words)


def screen_for(stream: TextIO) -> Screen:
    """A bar if somebody watches the stream on a terminal that can draw one."""
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return TerminalScreen(stream)
    return PlainScreen(stream, SystemClock())


def follow(job: Job[T], screen: Screen, grace_seconds: float) -> T:
    """Shows a job until it ends, and returns its result or raises what it raised.

    A job that was asked to stop and still has not after `grace_seconds` is left: `Interrupted`.
    """
    ended, failure = threading.Event(), list[Exception]()

    def show_all() -> None:
        try:
            for event in job.events():
                screen.show(event)
        except OSError:
            return  # Nobody watches any more (a closed terminal, a broken pipe): no reason to end a training.
        except Exception as error:
            failure.append(error)
        finally:
            screen.close()

    viewer = threading.Thread(target=show_all, name="mlsession-screen", daemon=True)
    viewer.start()
    job.add_done_callback(lambda _: ended.set())
    clock, asked = SystemClock(), None
    try:
        while not ended.wait(_LOOK_SECONDS):
            if job.is_cancelled:
                asked = clock.monotonic() if asked is None else asked
                if clock.monotonic() - asked > grace_seconds:
                    raise Interrupted(
                        f"no safe point came within {duration(grace_seconds)}; the last checkpoint counts"
                    )
        viewer.join(_LAST_LINES_SECONDS)
    finally:
        if viewer.is_alive():
            screen.close()
    result = job.result()
    if failure:
        raise failure[0]
    return result
