"""Signals in a command, outside the time in which a job runs; with one, see tests/recovery/test_signals.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from mlsession.cli.signals import interrupted_by_signals
from mlsession.errors import Interrupted
from mlsession.job.signals import SIGNALS

ON_THE_SPOT = """
import signal
from mlsession.cli.signals import interrupted_by_signals
with interrupted_by_signals():
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGTERM)
        print("still here", flush=True)
        signal.raise_signal(signal.SIGINT)
        print("too late", flush=True)
"""


pytestmark = pytest.mark.usefixtures("handlers_as_they_were")


def receive(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_without_a_job_interrupts_at_once(number: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=f"signal {number.name}"), interrupted_by_signals():
        receive(number)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_who_sends_it_twice_sees_the_exit_code(number: signal.Signals) -> None:
    with pytest.raises(Interrupted), interrupted_by_signals():
        receive(number)
    for again in set(SIGNALS) - {signal.SIGINT}:
        signal.raise_signal(again)  # Would kill this process.


def test_one_more_ctrl_c_ends_it_on_the_spot() -> None:
    done = subprocess.run([sys.executable, "-c", ON_THE_SPOT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (75, "still here\n", "")


def test_without_a_signal_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interrupted_by_signals():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    with pytest.raises(ZeroDivisionError), interrupted_by_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_no_library_takes_a_signal_for_a_failure_of_its_own() -> None:
    reached: list[str] = []

    def convert() -> None:
        try:
            receive(signal.SIGTERM)
        except Exception:
            reached.append("taken for a failure")
        reached.append("too far")

    with pytest.raises(Interrupted, match="signal SIGTERM"), interrupted_by_signals():
        convert()
    assert reached == []


def test_what_a_library_makes_of_a_signal_is_a_signal_all_the_same() -> None:
    def load() -> None:
        try:
            receive(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("numpy is broken") from error

    with pytest.raises(Interrupted, match="signal SIGTERM"), interrupted_by_signals():
        load()


def test_a_signal_that_a_library_swallows_is_not_lost() -> None:
    def swallow() -> None:
        with suppress(BaseException):
            receive(signal.SIGUSR1)

    with interrupted_by_signals() as check:
        check()
        swallow()
        with pytest.raises(Interrupted, match="signal SIGUSR1"):
            check()


def test_a_hangup_that_is_turned_off_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupted_by_signals():
        signal.raise_signal(signal.SIGHUP)
    with pytest.raises(Interrupted, match="signal SIGINT"), interrupted_by_signals():
        receive(signal.SIGINT)
