"""What a phase loads for the next one: once it has begun, beside it, and whatever comes of that."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mlsession.session.phase import PhaseState, Step
from mlsession.training.foresight import Foreseeing


class Counting:
    """Steps, and a note of when they were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for number in range(1, self.count + 1):
            self.asked.append(number)
            yield Step(iteration=number, total=self.count, snapshot=lambda: PhaseState({}, {}))


@pytest.mark.parametrize("error", [None, ImportError("no such module"), ValueError("of a library")])
def test_it_is_loaded_after_the_first_step_and_its_errors_are_left_to_others(error: Exception | None) -> None:
    runner, loaded, seen = Counting(3), threading.Event(), list[int]()

    def load() -> None:
        seen.extend(runner.asked)
        loaded.set()
        if error is not None:
            raise error

    steps = Foreseeing(runner, load).run(None)
    assert next(steps).iteration == 1
    assert loaded.wait(60)
    assert seen == [1]
    assert [step.iteration for step in steps] == [2, 3]


def test_without_steps_nothing_is_loaded() -> None:
    assert list(Foreseeing(Counting(0), lambda: pytest.fail("loaded")).run(None)) == []
