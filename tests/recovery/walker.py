"""A command like `mlsession train`, without torch, that sends itself signals at a moment of its work.

    python -m tests.recovery.walker SESSION [--limit N] [--interval N] [--grace SECONDS] [--at MOMENT] [--signals A,B]

It wires job, signals, screen and exit code as the real one does. Because it strikes itself, a signal comes at exactly
the moment that a test is about, and its work stands still until the signal was taken. A moment is one of

    step PHASE ITERATION          in the midst of the work for that step
    before OPERATION PREFIX [N]   before the Nth store call of that kind on keys with that prefix, N from 1
    after OPERATION PREFIX [N]    after it

Standard output says "struck PHASE ITERATION", the newest step begun, once a signal was taken, and in the end the
result.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mlsession.cli.__main__ import leave
from mlsession.cli.outcome import error_line, exit_code
from mlsession.cli.printing.progress import follow, screen_for
from mlsession.cli.signals import interrupted_by_signals
from mlsession.job.job import Job, JobContext
from mlsession.job.run import SessionPlace, drive_options, ensure_session, open_options, surroundings
from mlsession.job.signals import stop_on_signals
from mlsession.session.attempt import advance_session
from mlsession.session.identity import Identity
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step
from mlsession.store.protocol import Store
from mlsession.testing.walk import Walk
from tests.session.stores import WrappedStore

Result = tuple[int, bytes, str, str]
PATIENCE_SECONDS = 60.0
"""What must come comes much sooner; a test that waits so long has failed."""


@dataclass
class Struck:
    """Sends the signals when the moment has come, once."""

    moment: tuple[str, ...]
    signals: tuple[signal.Signals, ...]
    hangs: bool
    """Whether the work stands still for good after that: whoever ends it does not wait for it."""
    job: Job[Result] | None = None
    listening: threading.Event = field(default_factory=threading.Event)
    step: tuple[str, int] = ("", 0)
    calls: int = 0
    done: bool = False

    def at_step(self, phase: str, iteration: int) -> None:
        self.step = (phase, iteration)
        self._strike_if(("step", phase, str(iteration)) == self.moment)

    def at_call(self, when: str, operation: str, key: str) -> None:
        if self.done or self.moment[:2] != (when, operation) or not key.startswith(self.moment[2]):
            return
        self.calls += 1
        self._strike_if(self.calls == int(self.moment[3] if len(self.moment) > 3 else 1))

    def _strike_if(self, due: bool) -> None:
        if not due or self.done:
            return
        self.done = True
        assert self.listening.wait(PATIENCE_SECONDS)
        assert self.job is not None
        for number in self.signals:
            os.kill(os.getpid(), number)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not self.job.is_cancelled:  # The main thread takes it, and that takes a moment.
                assert time.monotonic() < deadline, "the signal was not heard"
                time.sleep(0.001)
            _say("struck", *self.step)
        if self.hangs:
            threading.Event().wait()


class StruckStore(WrappedStore):
    """Tells of each call, before and after it."""

    def __init__(self, store: Store, struck: Struck) -> None:
        super().__init__(store)
        self._struck = struck

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        self._struck.at_call("before", operation, key)
        result = call()
        self._struck.at_call("after", operation, key)
        return result


@dataclass(frozen=True, kw_only=True)
class StruckPlace(SessionPlace):
    """A session's folder whose calls are told of."""

    struck: Struck

    def open(self) -> Store:
        return StruckStore(super().open(), self.struck)


class StruckRunner:
    """Tells of each step while it is worked on."""

    def __init__(self, runner: PhaseRunner, phase: str, struck: Struck) -> None:
        self._runner = runner
        self._phase = phase
        self._struck = struck

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for step in self._runner.run(state):
            self._struck.at_step(self._phase, step.iteration)
            yield step


class StruckWalk:
    """A `Walk` whose steps are told of, each of which may take a while."""

    name, phases = Walk.name, Walk.phases

    def __init__(self, walk: Walk, struck: Struck) -> None:
        self._walk = walk
        self._struck = struck
        self.inputs, self.is_complete, self.result = walk.inputs, walk.is_complete, walk.result

    @property
    def parameters(self) -> Mapping[str, int]:
        return self._walk.parameters

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return StruckRunner(self._walk.runner(phase, past), phase, self._struck)


def main(words: Sequence[str]) -> None:
    """Walks, says the result, and ends the process as the real command does."""
    given = _parsed(words)
    struck = Struck(tuple(given.at.split()), tuple(signal.Signals[name] for name in given.signals), given.hang)
    try:
        with interrupted_by_signals() as check_signals:
            _say("result", *_walked(given, struck, check_signals))
        code = 0
    except BaseException as error:
        code = exit_code(error)
        with suppress(OSError):  # Nobody listens any more.
            sys.stderr.write(error_line(error) + "\n")
            sys.stderr.flush()
    leave(code)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("session")
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--interval", type=int, default=3)
    parser.add_argument("--grace", type=float, default=PATIENCE_SECONDS)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--stale-after", type=float, default=20.0)
    parser.add_argument("--at", default="never")
    parser.add_argument("--signals", type=lambda text: text.split(","), default=[])
    parser.add_argument("--hang", action="store_true")
    return parser.parse_args(words)


def _walked(given: argparse.Namespace, struck: Struck, check_signals: Callable[[], None]) -> Result:
    session = SessionParameters(
        given.session,
        checkpoint_interval=given.interval,
        report_interval=1,
        grace_seconds=given.grace,
        stale_after=given.stale_after,
    )
    place = StruckPlace(url=given.session, struck=struck)
    walk = Walk(limit=given.limit, on_step=lambda turn: time.sleep(given.pause))
    task = StruckWalk(walk, struck)

    def work(context: JobContext) -> Result:
        identity = Identity(task=task.name, phases=task.phases, parameters=task.parameters)
        ensure_session(place, session, context, identity)
        around = surroundings(place, session, context)
        return advance_session(task, around, open_options(session), drive_options(session))

    screen = screen_for(sys.stderr)
    try:
        struck.job = job = Job(work)
        with stop_on_signals(job):
            struck.listening.set()
            check_signals()
            return follow(job, screen, session.grace_seconds + 5)
    finally:
        screen.close()


if __name__ == "__main__":
    main(sys.argv[1:])
