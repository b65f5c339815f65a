"""What was found, as text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence

from benchmarks.rivals.folds import Photos
from benchmarks.rivals.results import Difference, Result, by_contender, difference, scores_of

FASTER = 5
"""The goal: a peer takes at least so many times as long."""


def table(results: Sequence[Result], photos: Photos, reference: str) -> list[str]:
    """A line for each contender: what it is worth, and by how much `reference` is better, on the cells of both."""
    truth, found = photos.truth, by_contender(results)
    ours = found.get(reference, [])
    lines = [
        f"{'':30} {'cells':>5} {'accuracy':>8} {'ours less this':>16} {'log loss':>8} {'ECE':>6} "
        f"{'seconds, cold':>22} {'CPU s':>7} {'against ours':>12}"
    ]
    for name, made in found.items():
        scores = scores_of(made, truth)
        cold = [result.seconds for result in made if result.is_cold]
        apart = "" if name == reference else shown(difference(ours, made, truth))
        lines.append(
            f"{name:30} {scores.cells:5} {scores.accuracy:8.2%} {apart:>16} {scores.log_loss:8.4f} "
            f"{scores.calibration_error:6.3f} {_spread(cold):>22} {_cpu(made):>7} {_ratio(ours, made):>12}"
        )
    return lines


def verdicts(results: Sequence[Result], photos: Photos, reference: str, ours: Collection[str]) -> list[str]:
    """Whether the goals are met against the best and the quickest of the others; none without both."""
    found = by_contender(results)
    mine = found.get(reference, [])
    apart = {
        name: difference(mine, made, photos.truth)
        for name, made in found.items()
        if name not in ours and name != reference
    }
    apart = {name: value for name, value in apart.items() if value.cells}
    if not apart:
        return []
    name = min(apart, key=lambda peer: apart[peer].mean)
    is_met = apart[name].mean >= -apart[name].error
    lines = [
        f"accuracy: {_met(is_met)}: {reference} less {name}, its best peer: {shown(apart[name])} "
        f"points on {apart[name].cells} common cells; at least minus one standard error is asked"
    ]
    ratios = _ratios(mine, found, apart)
    if ratios:
        quick = min(ratios, key=lambda peer: ratios[peer])
        is_met = ratios[quick] >= FASTER
        lines.append(f"time: {_met(is_met)}: {quick} takes {ratios[quick]:.1f} times as long; {FASTER} are asked")
        lines.append(f"time against {name}, the best in accuracy: {ratios.get(name, math.nan):.1f} times as long")
    return lines


def shown(value: Difference) -> str:
    """In points of a per cent."""
    return f"{100 * value.mean:+.2f} ± {100 * value.error:.2f}" if value.cells else "-"


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _ratios(ours: Sequence[Result], found: Mapping[str, Sequence[Result]], peers: Collection[str]) -> dict[str, float]:
    both = {name: _median_ratio(ours, found[name]) for name in peers}
    return {name: value for name, value in both.items() if not math.isnan(value)}


def _median_ratio(ours: Sequence[Result], theirs: Sequence[Result]) -> float:
    """How many times as long they take: the median over cells that both ran cold, one right after the other."""
    one = {result.cell: result.seconds for result in ours if result.is_cold}
    other = {result.cell: result.seconds for result in theirs if result.is_cold}
    ratios = [other[cell] / one[cell] for cell in one.keys() & other.keys()]
    return statistics.median(ratios) if ratios else math.nan


def _ratio(ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    value = _median_ratio(ours, theirs)
    return "-" if math.isnan(value) else f"{value:.2f}x"


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    middle = f"{statistics.median(seconds):.1f}"
    return middle if len(seconds) == 1 else f"{middle} ({min(seconds):.1f} to {max(seconds):.1f})"


def _cpu(results: Sequence[Result]) -> str:
    cold = [result.cpu_seconds for result in results if result.is_cold]
    return f"{statistics.median(cold):.1f}" if cold else "-"
