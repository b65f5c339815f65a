from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from mlsession.errors import Interrupted
from mlsession.job.job import Job, JobContext
from mlsession.job.signals import SIGNALS, stop_on_signals
from mlsession.store import open_store
from mlsession.testing.invariants import check_session
from tests.examples.runs import SECONDS, final_line, start, wait_for_records
from tests.job.test_job import waits_for_stop

ARGUMENTS = ("--batches", "60", "--checkpoint-interval", "7")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_saves_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    store = open_store(tmp_path / "session")
    process = start(str(tmp_path / "session"), *ARGUMENTS, "--pause", "0.02")
    try:
        wait_for_records(store, 3, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    assert f"Interrupted: signal {number.name}" in errors
    facts = check_session(store)
    assert facts is not None
    body = facts.records[-1].body
    assert (body["outcome"], body["reason"]) == ("interrupted", f"signal {number.name}")
    newest = facts.checkpoints[-1]
    assert newest.number == facts.records[-1].number - 1
    assert not newest.ended
    expected = final_line(str(tmp_path / "unbroken"), *ARGUMENTS)
    assert final_line(str(tmp_path / "session"), *ARGUMENTS) == expected


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = handlers()
    job = Job(waits_for_stop)
    with stop_on_signals(job):
        assert handlers() != before
    assert handlers() == before
    assert not job.is_cancelled
    job.cancel()
    job.exception(SECONDS)


def test_a_second_ctrl_c_has_its_usual_effect() -> None:
    job = Job(waits_for_stop)
    with stop_on_signals(job):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="signal SIGINT"):
            job.result(SECONDS)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("first", SIGNALS, ids=lambda number: number.name)
def test_those_that_are_sent_twice_do_not_end_the_save(first: signal.Signals) -> None:
    let_go = threading.Event()

    def saves(context: JobContext) -> None:
        assert let_go.wait(SECONDS)
        context.stop.check()

    job = Job(saves)
    with stop_on_signals(job):
        signal.raise_signal(first)
        for again in set(SIGNALS) - {signal.SIGINT}:
            signal.raise_signal(again)  # Would kill this process.
        let_go.set()
        with pytest.raises(Interrupted, match=f"signal {first.name}"):
            job.result(SECONDS)


def test_a_hangup_that_is_turned_off_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    job = Job(waits_for_stop)
    try:
        with stop_on_signals(job):
            signal.raise_signal(signal.SIGHUP)
            assert not job.is_cancelled
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(Interrupted, match="signal SIGTERM"):
                job.result(SECONDS)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back_after_an_error() -> None:
    before = handlers()
    job = Job(waits_for_stop)
    with pytest.raises(ZeroDivisionError), stop_on_signals(job):
        raise ZeroDivisionError
    assert handlers() == before
    job.cancel()
    job.exception(SECONDS)
