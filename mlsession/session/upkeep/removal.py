"""Removing checkpoints: commit a record that says what goes, and only then delete it.

    plan    what is named in which `removed` record         pure, but for reading how an old run's rows are called
    step    commit one record, or delete a few keys         so that whoever has something better to do may come between

A crash after a record leaves keys that it names; they belong to nothing any more, and the next removal deletes them
first. So at any time only the newest `removed` record can have such keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from mlsession.errors import DamagedData
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_of
from mlsession.session.log.pages import additive_blobs
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import Timeline
from mlsession.session.retention import removable
from mlsession.session.writer import SessionWriter
from mlsession.store.bulk import delete_some, list_between
from mlsession.store.protocol import Store

MOST_CHECKPOINTS = 1_000
MOST_KEYS = 5_000
"""What one `removed` record names, at most: a record is smaller than a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What one `removed` record says."""

    checkpoints: tuple[int, ...]
    keys: tuple[str, ...]


MOST_AT_ONCE = 100
"""Keys that are deleted together, where the store can do that: so many take no longer than a record."""

RowsOf = Callable[[CheckpointEntry], Sequence[BlobRef]]
"""The blobs of a phase's additive output as of one of its checkpoints, in order."""


def plan_removals(
    live: Sequence[CheckpointEntry], gone: Sequence[CheckpointEntry], timeline: Timeline, rows_of: RowsOf
) -> tuple[Removal, ...]:
    """The records that remove `gone` from `live`, in order; both oldest first.

    They name the states of what goes. Additive output is built upon by all that comes after it in the same run of its
    phase: of an earlier run goes what follows its last checkpoint that stays, of the present run nothing.
    """
    leaving = {entry.number for entry in gone}
    rows: dict[int, list[str]] = {}
    for (phase, run), members in _by_run(live).items():
        if run == timeline.newest[phase].run or members[-1].number not in leaving:
            continue
        last = max((entry.number for entry in members if entry.number not in leaving), default=-1)
        freed = [ref.key for ref in rows_of(members[-1]) if (record_of(ref.key) or 0) > last]
        rows[members[-1].number] = freed
    return tuple(_cut(gone, rows))


def _by_run(live: Sequence[CheckpointEntry]) -> dict[tuple[str, int], list[CheckpointEntry]]:
    ordered = sorted(live, key=lambda entry: (entry.phase, entry.run, entry.number))
    return {key: list(members) for key, members in groupby(ordered, key=lambda entry: (entry.phase, entry.run))}


def _cut(gone: Sequence[CheckpointEntry], rows: dict[int, list[str]]) -> Iterable[Removal]:
    numbers: list[int] = []
    keys: list[str] = []
    for entry in gone:
        if len(numbers) == MOST_CHECKPOINTS or len(keys) >= MOST_KEYS:
            yield Removal(checkpoints=tuple(numbers), keys=tuple(keys))
            numbers, keys = [], []
        numbers.append(entry.number)
        keys += [*(ref.key for ref in entry.states), *rows.get(entry.number, ())]
        while len(keys) > MOST_KEYS:
            yield Removal(checkpoints=tuple(numbers), keys=tuple(keys[:MOST_KEYS]))
            numbers, keys = [], keys[MOST_KEYS:]
    if numbers or keys:
        yield Removal(checkpoints=tuple(numbers), keys=tuple(keys))


def leftover_keys(store: Store, timeline: Timeline) -> tuple[str, ...]:
    """Keys that the newest removal names and that are still there; empty where its record is damaged."""
    if timeline.removal is None:
        return ()
    try:
        named = Journal(store).read(timeline.removal).body.get("keys")
    except DamagedData:
        return ()
    # Only blobs, and of the records that came before: whatever a record says, nothing else is ever deleted.
    keys = {
        key
        for key in (named if isinstance(named, list) else ())
        if isinstance(key, str) and 0 < (record_of(key) or 0) < timeline.removal and key.startswith("blobs/")
    }
    folders: dict[str, list[str]] = {}
    for key in sorted(keys):
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    there: set[str] = set()
    for folder, some in folders.items():
        # A beginning of a key sorts right before it.
        there |= {entry.key for entry in list_between(store, folder, some[0][:-1], some[-1]) if entry.key in keys}
    return tuple(sorted(there))


def rows_as_of(store: Store, entry: CheckpointEntry) -> tuple[BlobRef, ...]:
    """The blobs of additive output that a checkpoint's phase had put out by then, in order.

    Raises `DamagedData` if neither index nor records tell.
    """
    journal = Journal(store)

    def read(ref: BlobRef) -> bytes:
        return read_blob(store, ref)

    try:
        state = journal.load(entry.number)
        if state is not None and state.timeline.tip.number == entry.number:
            return additive_blobs(state.timeline, entry.phase, read)
    except DamagedData:
        pass  # A page of an old index; the records themselves say the same.
    return additive_blobs(journal.load_unindexed(entry.number), entry.phase, read)


class Remover:
    """Removes checkpoints for a session's writer, in the thread that the writer belongs to."""

    def __init__(self, store: Store, writer: SessionWriter) -> None:
        self._store = store
        self._writer = writer
        self._planned: deque[Removal] = deque()
        self._keys: deque[str] | None = None
        """To be deleted; None before anyone has looked what an earlier writer left."""

    @property
    def is_busy(self) -> bool:
        """Whether there is more to do for `step`."""
        return bool(self._planned) or bool(self._keys)

    @property
    def deletes_next(self) -> bool:
        """Whether the next `step` is about keys that a record names already."""
        return self._keys is None or bool(self._keys)

    def live(self) -> tuple[CheckpointEntry, ...]:
        """The session's checkpoints, oldest first. Raises `DamagedData`."""
        return Journal(self._store).checkpoints(self._writer.timeline)

    def plan(self, live: Sequence[CheckpointEntry], chosen: Iterable[int]) -> tuple[CheckpointEntry, ...]:
        """Takes on the removal of those of the `chosen` numbers that can go; returns these. Not while it is busy."""
        timeline = self._writer.timeline
        gone = removable(live, timeline.newest, Identity.from_record(timeline.opened).phases, frozenset(chosen))
        self._planned.extend(plan_removals(live, gone, timeline, self._rows_of))
        return gone

    def step(self) -> tuple[int, ...]:
        """Deletes a few keys, or else commits the next record; returns the checkpoints that are gone by that.

        The first step only looks what an earlier writer left. Raises `StoreError`, and for a record
        `SessionTakenOver`.
        """
        if self._keys is None:
            self._keys = deque(leftover_keys(self._store, self._writer.timeline))
            return ()
        if self._keys:
            for _ in range(delete_some(self._store, list(islice(self._keys, MOST_AT_ONCE)))):
                self._keys.popleft()
            return ()
        if not self._planned:
            return ()
        removal = self._planned.popleft()
        self._writer.remove(removal.checkpoints, removal.keys)
        self._keys.extend(removal.keys)
        return removal.checkpoints

    def forget_plan(self) -> None:
        """Drops what has not been committed: the writer went back to an earlier state."""
        self._planned.clear()

    def _rows_of(self, entry: CheckpointEntry) -> tuple[BlobRef, ...]:
        """Nothing where damage hides how the rows are called: then they stay, and harm nothing."""
        try:
            return rows_as_of(self._store, entry)
        except DamagedData:
            return ()
