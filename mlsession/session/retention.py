"""Which checkpoints stay: pure decisions on the list of those that are there.

Whatever is asked for, two kinds of checkpoints stay: the newest commit of every phase, on which resuming rests; and
what a checkpoint that stays rests on (an evaluation, on the training state that it measured). The rule also keeps, of a
phase that has been started over, what its earlier run left, until the present run has ended: that run may take rows
over from it. Who removes checkpoints by hand may remove those, which costs the time to make them again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlsession.errors import InvalidParameter
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.phase import Phase
from mlsession.session.standing import valid_commits

SPARE = 2
"""Of every phase so many are kept at least: the newest, and one to go back to if that is damaged."""
CUMULATIVE = frozenset(set(Phase) - {Phase.INITIALIZED, Phase.TRAINING})
"""Phases whose checkpoints are only places to go on from: earlier ones say nothing that the newest does not."""
METRICS = ("validation_accuracy", "accuracy")
"""What the best checkpoints are the best by: the first of these that the phase has."""
BATCH = 16
"""Superseded checkpoints that wait to be removed with one record."""
BATCH_BYTES = 256 * 2**20
"""Bytes of superseded states that wait, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The rule for a session's checkpoints while it trains; by default all stay.

    With either number the phases of `CUMULATIVE` keep their newest `SPARE`.
    """

    keep_last: int | None = None
    """The newest of each other phase that stay; None: `SPARE`, if `keep_best` is given."""
    keep_best: int | None = None
    """And the best of its present run by `METRICS`; of equally good ones the earlier."""

    def __post_init__(self) -> None:
        _check("keep_last", self.keep_last, SPARE)
        _check("keep_best", self.keep_best, 1)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever removed."""
        return self.keep_last is None and self.keep_best is None


def removable(
    live: Sequence[CheckpointEntry],
    newest: Mapping[str, CheckpointEntry],
    phases: tuple[str, ...],
    chosen: Collection[int],
) -> tuple[CheckpointEntry, ...]:
    """Those of the `chosen` numbers that can go; `live` is the whole list, oldest first.

    The newest commit of each phase stays, and what a checkpoint that stays rests on. `phases` are the task's, in order.
    """
    resting = _rests_on(live, phases)
    staying = {entry.number for entry in newest.values()}
    for entry in reversed(live):
        if entry.number in staying or entry.number not in chosen:
            staying |= {entry.number, *resting[entry.number]}
    return tuple(entry for entry in live if entry.number not in staying)


def superseded(
    live: Sequence[CheckpointEntry],
    newest: Mapping[str, CheckpointEntry],
    phases: tuple[str, ...],
    retention: Retention,
) -> tuple[CheckpointEntry, ...]:
    """Those that the rule does not keep, and that can go."""
    if retention.keeps_all:
        return ()
    kept = {number for phase, last in newest.items() for number in _kept(phase, last, live, retention)}
    return removable(live, newest, phases, {entry.number for entry in live} - kept)


def is_removal_due(waiting: Iterable[CheckpointEntry]) -> bool:
    """Whether so much waits to be removed that it is worth a record."""
    sizes = [sum(ref.size for ref in entry.states) for entry in waiting]
    return len(sizes) >= BATCH or sum(sizes) >= BATCH_BYTES


def best(entries: Sequence[CheckpointEntry], count: int) -> tuple[CheckpointEntry, ...]:
    """The `count` best by `METRICS`, best first; of equally good ones the earlier. Ones without a metric are none."""
    for metric in METRICS:
        ranked = [(entry.metrics.get(metric, math.nan), entry) for entry in entries]
        known = [(value, entry) for value, entry in ranked if not math.isnan(value)]
        if known:
            known.sort(key=lambda pair: (-pair[0], pair[1].number))
            return tuple(entry for _, entry in known[:count])
    return ()


def _kept(phase: str, last: CheckpointEntry, live: Sequence[CheckpointEntry], retention: Retention) -> set[int]:
    """The numbers of one phase's checkpoints that the rule keeps."""
    entries = [entry for entry in live if entry.phase == phase]
    present = [entry for entry in entries if entry.run == last.run]
    # A phase that starts over may still read what it left before, and an old model is better than half a new one.
    kept = [] if last.ended else [entry for entry in entries if entry.run != last.run]
    if phase in CUMULATIVE:
        kept += present[-SPARE:]
    else:
        kept += present[-(retention.keep_last or SPARE) :]
        kept += best(present, retention.keep_best or 0)
    return {entry.number for entry in kept}


def _rests_on(live: Sequence[CheckpointEntry], phases: tuple[str, ...]) -> dict[int, frozenset[int]]:
    """By checkpoint: those of earlier phases that counted when it was made."""
    places = {phase: place for place, phase in enumerate(phases)}
    newest: dict[str, CheckpointEntry] = {}
    resting: dict[int, frozenset[int]] = {}
    for entry in live:
        before = phases[: places.get(entry.phase, 0)]
        counted = valid_commits(before, newest, lambda phase: newest[phase].inputs)
        resting[entry.number] = frozenset(each.number for each in counted.values())
        newest[entry.phase] = entry
    return resting


def _check(parameter: str, value: int | None, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        reason = f"must be a whole number of {least} or more"
        if least == SPARE:
            reason += ": one to go on from, and one to go back to if that is damaged"
        raise InvalidParameter(parameter, value, reason)
