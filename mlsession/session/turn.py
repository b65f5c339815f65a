"""What a phase has done since its last save, on the way to being a stage."""

from __future__ import annotations

from mlsession.session.phase import Arrays, Step
from mlsession.session.writer import Stage


class Turn:
    """What a phase has done since its last save."""

    def __init__(self, phase: str, fresh: bool, inputs: str, began: float) -> None:
        self.phase = phase
        self.began = began
        self.last_save = began
        self.longest_step = 0.0
        self.held_bytes = 0
        self._step_began = began
        self._num_steps = 0
        self._fresh = fresh
        self._inputs = inputs
        self._held: list[Arrays] = []

    def begin_step(self, now: float) -> None:
        self._step_began = now

    def end_step(self, now: float) -> None:
        self._num_steps += 1
        self.longest_step = max(self.longest_step, now - self._step_began)

    def seconds_left(self, step: Step, now: float) -> float | None:
        """Until the phase ends, after this step, at the pace of the steps so far; None where its end is not known."""
        if step.total is None or not self._num_steps:
            return None
        return (step.total - step.iteration) * (now - self.began) / self._num_steps

    def hold(self, adds: Arrays) -> None:
        if adds:
            self._held.append(adds)
            self.held_bytes += sum(int(array.nbytes) for array in adds.values())

    def stage(self, step: Step, now: float) -> Stage:
        """All that a save needs, copied; the next turn starts from here."""
        stage = Stage(
            phase=self.phase,
            iteration=step.iteration,
            item_count=step.iteration if step.item_count is None else step.item_count,
            metrics={name: float(value) for name, value in step.metrics.items()},
            state=step.snapshot(),
            adds=tuple(self._held),
            fresh=self._fresh,
            ended=step.last,
            inputs=self._inputs,
        )
        self._fresh, self._held, self.held_bytes = False, [], 0
        self.last_save, self.longest_step = now, 0.0
        return stage
