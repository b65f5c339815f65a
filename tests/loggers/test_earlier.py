"""What a session has committed, for runs that lack it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlsession.job.run import run_task
from mlsession.loggers.earlier import earlier_figures
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import PhaseState, Step
from mlsession.store import LocalStore
from tests.session.one_phase import OnePhase


@dataclass(frozen=True)
class Descent(OnePhase):
    """A phase whose states keep no history; with other inputs it begins anew."""

    iterations: int = 0
    loss: float = 0.0

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for iteration in range(1, self.iterations + 1):
            yield Step(
                iteration=iteration,
                total=self.iterations,
                metrics={"loss": self.loss + iteration} if iteration != 4 else {},
                snapshot=PhaseState,
                last=iteration == self.iterations,
            )

    def inputs(self, phase: str) -> str:
        return str(self.loss)


def test_of_a_phase_without_a_history_there_are_the_figures_of_its_checkpoints(tmp_path: Path) -> None:
    """Those of its present run, as often as they would have been logged."""
    where = SessionParameters(tmp_path / "session", checkpoint_interval=1, report_interval=2)

    def figures() -> object:
        return earlier_figures(lambda: LocalStore(tmp_path / "session"), where)

    run_task(Descent(iterations=7), where, {}).result()
    assert figures() == {"only": [(2, {"loss": 2.0}), (6, {"loss": 6.0}), (7, {"loss": 7.0})]}
    run_task(Descent(iterations=3, loss=10.0), where, {}).result()
    assert figures() == {"only": [(2, {"loss": 12.0}), (3, {"loss": 13.0})]}
