from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from mlsession.errors import Cancelled, Interrupted
from mlsession.events import CheckpointCommitted, Event, JobEnded, JobFinished, LoggerFailed, Progressed
from mlsession.job.callbacks import Callback
from mlsession.job.job import Job, JobContext
from mlsession.job.run import run_task
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.watching.status import Status
from mlsession.store import open_store
from mlsession.testing.walk import Walk
from tests.job.test_job import SECONDS, committed, progressed


class Heard(Callback):
    """What a callback is told, as (kind, iteration or number); may raise at one iteration, or at the end."""

    def __init__(self, fails_at: int | None = None, fails_at_end: bool = False) -> None:
        self.told: list[tuple[str, int]] = []
        self.ends: list[BaseException | None] = []
        self.threads: set[int] = set()
        self._fails_at = fails_at
        self._fails_at_end = fails_at_end

    def on_event(self, job: Job[Any], event: Event) -> None:
        self.threads.add(threading.get_ident())
        self.told.append(("event", event.number))

    def on_progress(self, job: Job[Any], progress: Progressed) -> None:
        self.told.append(("progress", progress.iteration))
        if progress.iteration == self._fails_at:
            raise LookupError(f"at {progress.iteration}")

    def on_checkpoint(self, job: Job[Any], checkpoint: CheckpointCommitted) -> None:
        self.told.append(("checkpoint", checkpoint.checkpoint))

    def on_end(self, job: Job[Any], error: BaseException | None) -> None:
        assert not job.done()
        self.ends.append(error)
        if self._fails_at_end:
            raise LookupError("at the end")


def two_events(context: JobContext) -> str:
    context.emit(progressed(3))
    context.emit(committed(7))
    return "done"


def test_they_hear_everything_in_order_in_one_thread_before_the_result_is_there() -> None:
    first, second = Heard(), Heard()
    assert Job(two_events, callbacks=[first, second]).result(SECONDS) == "done"
    assert first.told == [("event", 1), ("progress", 3), ("event", 2), ("checkpoint", 7)]
    assert second.told == first.told
    assert first.threads == second.threads
    assert first.threads != {threading.get_ident()}
    assert first.ends == second.ends == [None]


def walk(where: Path, *callbacks: Callback, on_step: Any = lambda turn: None) -> Job[tuple[int, bytes, str, str]]:
    parameters = SessionParameters(where, report_interval=1, checkpoint_interval=100, cache=None)
    return run_task(Walk(limit=30, on_step=on_step), parameters, {}, callbacks)


def test_one_that_raises_fails_the_job_which_can_be_resumed(tmp_path: Path) -> None:
    whole = walk(tmp_path / "whole").result(SECONDS)
    failing, other, raised = Heard(fails_at=4), Heard(), threading.Event()
    job = walk(tmp_path / "broken", failing, other, on_step=lambda turn: turn < 10 or raised.wait(SECONDS))
    while not job.is_cancelled:
        raised.wait(0.001)
    raised.set()
    with pytest.raises(LookupError, match="at 4"):
        job.result(SECONDS)
    (end,) = (event for event in job.events() if isinstance(event, JobEnded))
    assert (end.outcome, end.reason) == ("failed", "at 4")
    assert failing.told[-1] == ("progress", 4)
    assert ("progress", 10) in other.told
    assert [type(error) for error in (*failing.ends, *other.ends)] == [LookupError, LookupError]
    with TrainingSession(lambda: open_store(tmp_path / "broken"), SessionParameters(tmp_path / "broken")) as session:
        assert session.status is Status.FAILED
        assert session.iteration >= 10  # It was saved, though no checkpoint was due.
    assert walk(tmp_path / "broken").result(SECONDS) == whole


def test_one_may_cancel_the_job(tmp_path: Path) -> None:
    class Enough(Callback):
        def on_progress(self, job: Job[Any], progress: Progressed) -> None:
            job.cancel("enough")

    with pytest.raises(Cancelled, match="enough"):
        walk(tmp_path / "session", Enough(), on_step=lambda turn: threading.Event().wait(0.02)).result(SECONDS)


def test_what_is_raised_at_the_end_is_not_lost() -> None:
    job = Job(two_events, callbacks=[Heard(fails_at_end=True)])
    with pytest.raises(LookupError, match="at the end"):
        job.result(SECONDS)

    def interrupted(context: JobContext) -> None:
        raise Interrupted("signal")

    stopped = Job(interrupted, callbacks=[Heard(fails_at_end=True)])
    with pytest.raises(Interrupted) as found:
        stopped.result(SECONDS)
    assert found.value.__notes__ == ["a callback failed, too: LookupError: at the end"]


def test_one_that_hangs_holds_up_no_other_and_is_left_behind() -> None:
    release, late = threading.Event(), list[str]()

    class Hanging(Callback):
        def on_event(self, job: Job[Any], event: Event) -> None:
            release.wait(SECONDS)

    heard = Heard()

    def work(context: JobContext) -> str:
        def be_late() -> None:
            late.append("late")
            context.emit(LoggerFailed(logger="l", reason="r"))

        context.emit(progressed(1))
        context.attend(Hanging(), lambda: 0.05, be_late)
        return "done"

    job = Job(work, callbacks=[heard])
    try:
        assert job.result(SECONDS) == "done"
        assert late == ["late"]
        assert [type(event) for event in job.events()] == [Progressed, LoggerFailed, JobFinished]
        assert heard.ends == [None]
    finally:
        release.set()


def test_one_that_joins_late_hears_it_from_the_beginning() -> None:
    heard = Heard()

    def work(context: JobContext) -> str:
        two_events(context)
        context.attend(heard, lambda: SECONDS, lambda: None)
        return "done"

    assert Job(work).result(SECONDS) == "done"
    assert [what for what in heard.told if what[0] != "event"] == [("progress", 3), ("checkpoint", 7)]
    assert heard.ends == [None]
