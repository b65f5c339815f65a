"""What a training says of workers that have not finished: whether the same command is worth another try."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mlsession.cli.outcome import FAILED, RESUMABLE, WRONG_USE, exit_code
from mlsession.devices.failures import failure_to_json
from mlsession.errors import Cancelled, InternalError, Interrupted, InvalidParameter, SessionFailed, WorkerLost
from mlsession.job.launch import Ended, last_words
from mlsession.session.identity import Identity
from mlsession.session.log.journal import LogState
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, create_session, open_session, require_session
from mlsession.session.phase import PhaseState
from mlsession.session.stop import StopKind, StopRequest
from mlsession.session.writer import Stage
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.training.workers.launching import close_as_failed, how_it_ended

GIVEN_UP, KILLED = 1, -9


def log(
    *, saved: bool = False, closed: Outcome | None = None, store: MemoryStore | None = None
) -> tuple[LogState, int]:
    """A session that was handed over, opened by a worker, and left as it is said; and who handed it over."""
    store, clock = store or MemoryStore(), FakeClock()
    create_session(store, clock, Identity(task="walk", parameters={}), {}, lambda event: None)
    training, _ = open_session(store, clock, OpenOptions(), lambda event: None)
    training.close(Outcome.PAUSED, "handed over")
    worker, _ = open_session(store, clock, OpenOptions(), lambda event: None)
    if saved:
        stage = Stage(
            phase="walking",
            iteration=1,
            item_count=1,
            metrics={},
            state=PhaseState({"place": np.zeros(1)}),
            adds=(),
            fresh=True,
            ended=False,
            inputs="",
        )
        worker.commit(stage)
    if closed is not None:
        worker.close(closed, "the reason")
    return require_session(store), training.opening


def ended(
    code: int,
    error: Exception | None = None,
    asked: StopRequest | None = None,
    *,
    saved: bool = False,
    closed: Outcome | None = None,
) -> BaseException:
    """What is raised for workers whose launcher ended with `code`, and of whom rank 1 said what ended it."""
    state, handed_over = log(saved=saved, closed=closed)
    failure = None if error is None else (1, failure_to_json(error))
    return how_it_ended(state, handed_over, Ended(code=code, failure=failure, last_words="killed"), asked, "s")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (InvalidParameter("epochs", 0, "too few"), InvalidParameter, WRONG_USE),
        (ZeroDivisionError("division by zero"), InternalError, FAILED),
    ],
)
def test_what_ends_a_worker_each_time_is_no_reason_to_try_again(
    error: Exception, kind: type[Exception], code: int
) -> None:
    for closed in (None, Outcome.INTERRUPTED, Outcome.FAILED):
        for saved in (False, True):
            found = ended(GIVEN_UP, error, saved=saved, closed=closed)
            assert (type(found), exit_code(found)) == (kind, code)
            assert "rank 1 on " in str(found)


def test_workers_that_die_without_a_word_are_tried_again_as_long_as_they_get_on() -> None:
    """Otherwise a batch system would put them back into its queue for ever."""
    found = ended(GIVEN_UP)
    assert (type(found), exit_code(found)) == (SessionFailed, FAILED)
    assert str(found).startswith("training s failed: the worker processes died (the launcher ended with 1; their last")
    for again in (ended(GIVEN_UP, saved=True), ended(KILLED), ended(KILLED, saved=True)):
        assert (type(again), exit_code(again)) == (WorkerLost, RESUMABLE)


def test_what_was_asked_for_comes_first_and_then_what_the_log_says() -> None:
    asked = StopRequest(kind=StopKind.INTERRUPTED, reason="signal SIGTERM", since=0.0)
    assert isinstance(ended(GIVEN_UP, ValueError("x"), asked), Interrupted)
    assert isinstance(ended(0, closed=Outcome.PAUSED), Cancelled)
    assert type(ended(0, closed=Outcome.INTERRUPTED)) is Interrupted
    assert isinstance(ended(GIVEN_UP, closed=Outcome.FAILED), SessionFailed)


@pytest.mark.parametrize(
    ("closed", "outcome"),
    [
        (Outcome.PAUSED, Outcome.FAILED),
        (Outcome.FINISHED, Outcome.FINISHED),
        (Outcome.INTERRUPTED, Outcome.INTERRUPTED),
        (None, None),
    ],
)
def test_what_fails_in_the_training_s_own_process_fails_the_session(
    closed: Outcome | None, outcome: Outcome | None
) -> None:
    """As with one process; workers that were asked to stop have written that somebody paused it."""
    store = MemoryStore()
    state, handed_over = log(closed=closed, store=store)
    asked = StopRequest(kind=StopKind.FAILED, reason="ValueError: of a callback", since=0.0, cause=ValueError("x"))
    close_as_failed(store, OpenOptions(), state, handed_over, asked, FakeClock())
    found = require_session(store).timeline.closed
    assert (None if found is None else found.body["outcome"]) == outcome
    if outcome is Outcome.FAILED:
        assert found is not None
        assert found.body["reason"] == "ValueError: of a callback"


def test_the_last_words_are_those_of_the_worker_that_ended_first(tmp_path: Path) -> None:
    printed = tmp_path / "printed.txt"
    printed.write_text("a\nb\nc\nthe launcher\n")
    assert last_words(tmp_path, printed) == "b / c / the launcher"
    for start, rank, text in ((9, 0, "before"), (10, 0, "another is gone"), (10, 1, "no such file\n"), (10, 2, "")):
        file = tmp_path / "none_x1y2" / f"attempt_{start}" / str(rank) / "stderr.log"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        os.utime(file, ns=(0, 100 - rank))
    assert last_words(tmp_path, printed) == "no such file"
