from __future__ import annotations

import os
import signal

import pytest

from mlsession.cli.signals import interrupted_by_signals
from mlsession.errors import Interrupted
from mlsession.job.signals import SIGNALS


def receive(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_without_a_job_interrupts_at_once(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(Interrupted, match=f"signal {number.name}"), interrupted_by_signals():
        receive(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before
