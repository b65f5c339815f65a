"""What a failed conversion leaves behind: nothing of its own, and all that was its caller's."""

from __future__ import annotations

import sys

import pytest

from mlsession.coreml.silence import silenced_coremltools


def failing_in(kept: list[int]) -> None:
    held = kept
    raise ArithmeticError(f"{len(held)} things held")


def test_a_failure_holds_nothing_and_what_the_caller_handles_stays() -> None:
    try:
        failing_in([1, 2])
    except ArithmeticError:
        outer = sys.exc_info()[2]
        with pytest.raises(ArithmeticError, match="3 things") as caught, silenced_coremltools():
            failing_in([1, 2, 3])
        assert caught.tb is not None
        assert outer is not None
        assert outer.tb_next is not None
        assert outer.tb_next.tb_frame.f_locals["held"] == [1, 2]
        inner = caught.tb
        while inner.tb_next is not None:
            inner = inner.tb_next
        assert inner.tb_frame.f_locals == {}
