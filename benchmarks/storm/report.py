"""What a storm has found: values, and how they are told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.storm.watch import Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One kill."""

    phase: str
    kind: str
    """The store call that it hit."""
    lost_steps: int
    """Steps that were done and are to be done again: those since the newest commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """From a kill to the first new step, in seconds; the harness's own look at the session is left out."""

    dying: float
    """Until the killed process was gone."""
    starting: float
    """Until the next one makes its first store call: the interpreter and imports."""
    opening: float
    """Until its first step is done."""
    calls: Mapping[str, int]
    """The store calls of opening, by kind."""

    @property
    def seconds(self) -> float:
        return self.dying + self.starting + self.opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One session, finished."""

    session: int
    deaths: tuple[Death, ...]
    recoveries: tuple[Recovery, ...]
    is_equal: bool
    """Whether its result is that of the unbroken run."""
    broken: tuple[str, ...]
    """Invariants that did not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole storm."""

    target: str
    place: str
    seed: int
    jobs: int
    interval: int
    milliseconds: Mapping[str, float]
    census: Census
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def deaths(self) -> tuple[Death, ...]:
        return tuple(death for outcome in self.outcomes for death in outcome.deaths)

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        return tuple(recovery for outcome in self.outcomes for recovery in outcome.recoveries)

    @property
    def mismatches(self) -> tuple[int, ...]:
        """Sessions whose result differs."""
        return tuple(outcome.session for outcome in self.outcomes if not outcome.is_equal)

    @property
    def broken(self) -> tuple[str, ...]:
        """Invariants that did not hold, in words."""
        return tuple(text for outcome in self.outcomes for text in outcome.broken)

    @property
    def most_steps(self) -> int:
        """That a kill may cost: see `mlsession.session.policy.EveryIterations`."""
        return 2 * self.interval

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        within = all(death.lost_steps <= self.most_steps for death in self.deaths)
        return not self.mismatches and not self.broken and within

    def to_json(self) -> dict[str, object]:
        """All figures."""
        lost = [death.lost_steps for death in self.deaths]
        return {
            "target": self.target,
            "place": self.place,
            "milliseconds": dict(self.milliseconds),
            "seed": self.seed,
            "jobs": self.jobs,
            "kills_survived": len(self.deaths),
            "sessions": len(self.outcomes),
            "digest_mismatches": len(self.mismatches),
            "mismatched_sessions": list(self.mismatches),
            "broken_invariants": list(self.broken),
            "interval_steps": self.interval,
            "most_steps": self.most_steps,
            "steps_recomputed": {"greatest": max(lost, default=0), "mean": float(np.mean(lost or [0]))},
            "steps_recomputed_by_count": {str(steps): count for steps, count in sorted(Counter(lost).items())},
            "seconds_to_first_new_step": _spread(recovery.seconds for recovery in self.recoveries),
            "seconds_dying": _spread(recovery.dying for recovery in self.recoveries),
            "seconds_starting": _spread(recovery.starting for recovery in self.recoveries),
            "seconds_opening": _spread(recovery.opening for recovery in self.recoveries),
            "store_calls_of_opening": _spread(float(sum(one.calls.values())) for one in self.recoveries),
            "store_calls_of_opening_by_kind": self._opening_calls(),
            "kills_by_phase": dict(Counter(death.phase for death in self.deaths)),
            "kills_by_store_call": dict(Counter(death.kind for death in self.deaths).most_common()),
            "unbroken_run": {"store_calls": dict(self.census.calls), "seconds": dict(self.census.seconds)},
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """For people."""
        found = self.to_json()
        lost = [death.lost_steps for death in self.deaths]
        far = ", ".join(f"{name} {value:.0f} ms" for name, value in self.milliseconds.items())
        return [
            f"{self.target} on {self.place}{f' ({far})' if far else ''}, seed {self.seed}, {self.jobs} at once",
            f"  kills survived       {len(self.deaths)} in {len(self.outcomes)} sessions, in {self.seconds:.0f} s",
            f"  digest mismatches    {len(self.mismatches)} {list(self.mismatches) or ''}".rstrip(),
            f"  broken invariants    {len(self.broken)}",
            *(f"    {text}" for text in self.broken),
            f"  steps recomputed     greatest {max(lost, default=0)}, mean {np.mean(lost or [0]):.2f} a kill "
            f"(a checkpoint each {self.interval}, so {self.most_steps} at most)",
            f"  kill to next step    {_told(recovery.seconds for recovery in self.recoveries)}",
            f"    process gone       {_told(recovery.dying for recovery in self.recoveries)}",
            f"    start and imports  {_told(recovery.starting for recovery in self.recoveries)}",
            f"    opening, one step  {_told(recovery.opening for recovery in self.recoveries)}",
            f"  calls of opening     {_listed(self._opening_calls())} (means)",
            f"  kills by phase       {_listed(found['kills_by_phase'])}",
            f"  kills by store call  {_listed(found['kills_by_store_call'])}",
        ]

    def _opening_calls(self) -> dict[str, float]:
        """Store calls of opening a session again, by kind: means."""
        total: Counter[str] = Counter()
        for recovery in self.recoveries:
            total.update(recovery.calls)
        return {kind: round(count / len(self.recoveries), 2) for kind, count in total.most_common()}


def _spread(values: Iterable[float]) -> dict[str, float]:
    """Median, 95th percentile and greatest; empty of nothing."""
    found = np.array(list(values), dtype=np.float64)
    if not len(found):
        return {}
    return {"median": float(np.median(found)), "p95": float(np.percentile(found, 95)), "greatest": float(found.max())}


def _told(values: Iterable[float]) -> str:
    spread = _spread(values)
    return f"median {spread['median']:.2f} s, 95 % within {spread['p95']:.2f} s" if spread else "none was seen"


def _listed(counts: object) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) if isinstance(counts, Mapping) else ""
