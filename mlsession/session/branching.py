"""Going back to an earlier state of the log: which one can be gone on from, and what stays removed.

A record that goes back to an earlier one opens a branch, and what lies between them counts for nothing any more. But
a checkpoint that was removed in between is gone, so the new branch must not list it, nor go on from it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from mlsession.errors import DamagedData, InternalError
from mlsession.session.identity import Identity
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.log.timeline import Timeline, removed_by
from mlsession.session.standing import valid_commits
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Where a branch begins."""

    timeline: Timeline
    removed: tuple[int, ...]
    """Checkpoints of that timeline that later records have removed, ascending."""


def branch_from(store: Store, timeline: Timeline, end: int) -> Branch:
    """The newest state at or before `timeline` that rests on no checkpoint that a record up to `end` has removed.

    Raises `DamagedData` if no state before it is valid.
    """
    journal, gone = Journal(store), set[int]()
    while True:
        tip = timeline.tip.number
        gone |= _removed_between(journal, tip, end)
        end = tip
        lost = [entry for entry in resting_commits(timeline) if entry.number in gone] if gone else []
        if not lost:
            return Branch(timeline=timeline, removed=tuple(sorted(number for number in gone if number <= tip)))
        timeline = _before(journal, timeline, min(lost, key=lambda entry: entry.number), gone)


def _removed_between(journal: Journal, first: int, last: int) -> set[int]:
    """What the records after `first` up to `last` remove, on whatever branch, as far as they can be read."""
    gone: set[int] = set()
    for record in journal.records(first + 1, last):
        with suppress(DamagedData):  # The damage is why we go back, and is told by who found it.
            gone |= removed_by(record)
    return gone


def resting_commits(timeline: Timeline) -> tuple[CheckpointEntry, ...]:
    """The commits whose state going on may need; all of them where the order of the phases is not known."""
    newest, phases = timeline.newest, Identity.from_record(timeline.opened).phases
    counted = valid_commits(phases, newest, lambda phase: newest[phase].inputs) if phases else newest
    return tuple(counted.values())


def _before(journal: Journal, timeline: Timeline, lost: CheckpointEntry, gone: set[int]) -> Timeline:
    """The state as of the newest checkpoint before `lost` that was not removed; else that `lost` was built on."""
    try:
        live = journal.checkpoints(timeline)
    except DamagedData:
        live = ()  # Then one step at a time.
    stays = [entry.number for entry in live if entry.number < lost.number and entry.number not in gone]
    state = journal.load(stays[-1] if stays else lost.parent)
    if state is None:
        raise InternalError(f"checkpoint {lost.number} has nothing before it")
    return state.timeline
