"""A phase on simulated time, as `Driver` runs it: what a kill at any moment would cost under a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from mlsession.session.policy import Pace, SavePolicy, is_save_due, waits_for_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """One save of a simulated run."""

    iteration: int
    began: float
    """When its state was taken, in seconds since the run began."""
    ended: float
    """When it was durable."""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened when."""

    step_ends: tuple[float, ...]
    """When each step was done, in seconds."""
    saves: tuple[Save, ...]

    def newest(self, moment: float) -> Save:
        """The save that a kill at this moment leaves; the beginning counts as one."""
        durable = [save for save in self.saves if save.ended <= moment]
        return durable[-1] if durable else Save(iteration=0, began=0.0, ended=0.0)

    def lost_seconds(self, moment: float) -> float:
        """The work that a kill at this moment undoes, in seconds."""
        return moment - self.newest(moment).began

    def lost_steps(self, moment: float) -> int:
        """The same in finished steps."""
        return sum(end <= moment for end in self.step_ends) - self.newest(moment).iteration

    @property
    def worst_moments(self) -> tuple[float, ...]:
        """Just before each save is durable: nowhere else does a kill cost more."""
        return tuple(save.ended - 1e-9 for save in self.saves)


def run(policy: SavePolicy, steps: Sequence[float], save_seconds: Sequence[float]) -> Run:
    """Steps and saves that take these seconds, the saves in turn; one save is in flight at a time."""
    now, last_begin, longest_step = 0.0, 0.0, 0.0
    costs = cycle(save_seconds)
    ends: list[float] = []
    saves: list[Save] = []
    for iteration, seconds in enumerate(steps, start=1):
        now += seconds
        ends.append(now)
        longest_step = max(longest_step, seconds)
        known = [save.seconds for save in saves if save.ended <= now]
        pace = Pace(
            iteration=iteration,
            seconds=now - last_begin,
            step_seconds=longest_step,
            save_seconds=known[-1] if known else None,
        )
        is_busy = bool(saves) and saves[-1].ended > now
        if (waits_for_store(policy) or not is_busy) and is_save_due(policy, pace):
            # As `Saver.submit`: the state is taken at once, and handed over when the save before it is durable.
            handed_over = max(now, saves[-1].ended) if saves else now
            saves.append(Save(iteration=iteration, began=now, ended=handed_over + next(costs)))
            last_begin, longest_step, now = now, 0.0, handed_over
    return Run(step_ends=tuple(ends), saves=tuple(saves))
