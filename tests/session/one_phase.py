"""A task of a single phase, whose steps a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlsession.session.phase import Arrays, Past, PhaseRunner, PhaseState, Step


@dataclass(frozen=True)
class OnePhase:
    """A task of one phase whose runner is made by `steps`."""

    on_step: Callable[[], object] = lambda: None
    steps: Callable[[], Iterator[Step]] | None = None
    complete: bool = True

    name = "one"
    phases = ("only",)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return self

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        if self.steps is not None:
            yield from self.steps()
            return
        self.on_step()
        yield a_step(1, last=True)

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return self.complete

    def result(self, past: Past) -> str:
        return "done"


def a_step(iteration: int, last: bool = False, adds: Arrays | None = None) -> Step:
    return Step(iteration=iteration, total=None, snapshot=PhaseState, adds=adds or {}, last=last)
