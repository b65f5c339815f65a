"""The sum of many cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlsession.testing.matrix.run import CaseReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a set of cases came to."""

    cases: int = 0
    """Those whose fault was met."""
    not_reached: int = 0
    """Those in which the call that was to go wrong was never made; they count for nothing else."""
    crashes: int = 0
    calls: int = 0
    checks: int = 0
    """Calls that changed the store, after each of which the invariants were checked."""
    mismatches: int = 0
    broken: int = 0
    """Cases in which an invariant did not hold."""
    resumed: int = 0
    """Processes that went on with steps that an earlier one had begun."""
    lost: int = 0
    """Steps that they took again, in all."""
    most_lost: int = 0
    """The most steps that one of them took again, where no checkpoint was damaged."""
    most_intervals: float = 0.0
    """The same in checkpoint intervals, of whatever case it was the most."""
    most_lost_to_damage: int = 0
    """The most steps where one was."""
    wrong: tuple[str, ...] = ()
    """A line for each case that went wrong."""

    @property
    def mean_lost(self) -> float:
        """Steps taken again by each process that went on; 0 where none did."""
        return self.lost / self.resumed if self.resumed else 0.0


def tally(reports: Iterable[CaseReport]) -> Tally:
    """Sums reports up."""
    total = Tally()
    for report in reports:
        total = merged(total, _of(report))
    return total


def merged(one: Tally, other: Tally) -> Tally:
    """The sum of two tallies."""
    return Tally(
        cases=one.cases + other.cases,
        not_reached=one.not_reached + other.not_reached,
        crashes=one.crashes + other.crashes,
        calls=one.calls + other.calls,
        checks=one.checks + other.checks,
        mismatches=one.mismatches + other.mismatches,
        broken=one.broken + other.broken,
        resumed=one.resumed + other.resumed,
        lost=one.lost + other.lost,
        most_lost=max(one.most_lost, other.most_lost),
        most_intervals=max(one.most_intervals, other.most_intervals),
        most_lost_to_damage=max(one.most_lost_to_damage, other.most_lost_to_damage),
        wrong=one.wrong + other.wrong,
    )


def _of(report: CaseReport) -> Tally:
    problems = [*report.broken, *([] if report.matches else ["the result is another"])]
    most = max(report.lost, default=0)
    return Tally(
        cases=int(report.reached),
        not_reached=int(not report.reached),
        crashes=report.crashes,
        calls=report.calls,
        checks=report.changes,
        mismatches=int(not report.matches),
        broken=int(bool(report.broken)),
        resumed=len(report.lost),
        lost=sum(report.lost),
        most_lost=0 if report.has_damage else most,
        most_intervals=0.0 if report.has_damage else most / report.interval,
        most_lost_to_damage=most if report.has_damage else 0,
        wrong=(f"{report.case}: {'; '.join(problems)}",) if problems else (),
    )
