"""A job in a notebook: shown at once, and kept up to date where it was shown, until it ends.

Needs nothing but what every notebook kernel has; without one, `job_html` is a picture of one moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from mlsession.display.html import bar, card, facts, shown
from mlsession.events import Event
from mlsession.job.view import Progress
from mlsession.session.checkpoint import Checkpoint

UPDATE_SECONDS = 0.25
"""Between two updates of the page, at least."""


class ShownJob(Protocol):
    """What of a job is shown."""

    @property
    def phase(self) -> str: ...
    @property
    def progress(self) -> Progress | None: ...
    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]: ...
    @property
    def start_date(self) -> datetime: ...
    @property
    def is_cancelled(self) -> bool: ...
    def done(self) -> bool: ...
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    def events(self, after: int = 0) -> Iterable[Event]: ...


def job_html(job: ShownJob) -> str:
    """A job at one moment."""
    progress, checkpoints = job.progress, job.checkpoints
    known = {
        "started": f"{job.start_date:%Y-%m-%d %H:%M:%S} UTC",
        "checkpoints": len(checkpoints) or None,
        "newest": f"{checkpoints[-1].phase} {checkpoints[-1].iteration}" if checkpoints else None,
    }
    blocks = [_progress_html(progress) if progress is not None else "", facts(known)]
    return card(f"Job: {_state(job)}", job.phase, blocks)


def job_words(job: ShownJob) -> str:
    """The same in one line, for where there is no page."""
    progress = job.progress
    count = f", {_count(progress)}" if progress is not None else ""
    return f"{job.phase}{count}, {_state(job)}"


def show_live(job: ShownJob) -> None:
    """Displays a job in the notebook's cell and follows it there, in a thread of its own, until it ends."""
    from IPython.display import HTML, display

    def page() -> HTML:
        return HTML(job_html(job))  # type: ignore[no-untyped-call]

    handle = display(page(), display_id=True)  # type: ignore[no-untyped-call]

    def follow() -> None:
        newest = 0.0
        for _ in job.events():
            now = time.monotonic()
            if now - newest >= UPDATE_SECONDS:
                newest = now
                handle.update(page())
        job.exception()  # The stream ends a moment before the job has its result.
        handle.update(page())

    if handle is not None:
        threading.Thread(target=follow, name="mlsession-notebook", daemon=True).start()


def _state(job: ShownJob) -> str:
    if not job.done():
        return "stopping" if job.is_cancelled else "running"
    error = job.exception()
    return "finished" if error is None else f"{type(error).__name__}: {error}"


def _progress_html(progress: Progress) -> str:
    words = [_count(progress), f"{progress.elapsed:.1f} s"]
    metrics = {name.replace("_", " "): shown(float(value)) for name, value in progress.metrics.items()}
    return bar(progress.fraction_completed, " · ".join(words)) + facts(metrics)


def _count(progress: Progress) -> str:
    total = progress.total_item_count or progress.total
    count = progress.item_count if progress.total_item_count else progress.iteration
    return f"{count:,} of {total:,}" if total else f"{count:,}"
