"""The single writer of a session: stages blobs, then commits each checkpoint with one exclusively created record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mlsession.clock import Clock
from mlsession.errors import DamagedData, InternalError, StoreError
from mlsession.session.branching import branch_from
from mlsession.session.cost import SavingCost
from mlsession.session.log.blobs import encode_arrays, encode_state, read_blob, write_blob, write_blobs
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import record_key
from mlsession.session.log.pages import needs_roll, roll
from mlsession.session.log.records import MOST_BYTES, BlobRef, CheckpointEntry, JsonObject, Kind, Outcome, Record
from mlsession.session.log.timeline import Summary, Timeline, advance, begin, body_of
from mlsession.session.phase import Array, Arrays, PhaseState
from mlsession.session.stop import LOST, MOST_REASON
from mlsession.store.bulk import Readable
from mlsession.store.protocol import Store

QUICK_BYTES = 2**20
"""Blobs of a commit that take hardly longer to read than a record does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A checkpoint in host memory, ready to be written by another thread."""

    phase: str
    iteration: int
    item_count: int
    metrics: Mapping[str, float]
    state: PhaseState
    adds: tuple[Arrays, ...]
    """Additive output since the last stage, one mapping for each step that had any."""
    fresh: bool
    ended: bool
    inputs: str


class SessionWriter:
    """Writes one opening of a session. Belongs to one thread at a time.

    Every method may raise `SessionTakenOver`: another writer has opened the session, and this one must stop; and
    `StoreError`, also where the session's own records have gone.
    """

    def __init__(self, store: Store, clock: Clock, state: LogState, writer_id: str) -> None:
        self._store = store
        self._journal = Journal(store)
        self._clock = clock
        self._writer_id = writer_id
        self._timeline = state.timeline
        self._number = state.end
        self._previous = state.end_digest

    @property
    def timeline(self) -> Timeline:
        """The session's state after the last committed record."""
        return self._timeline

    @property
    def opening(self) -> int:
        """The number of this writer's `opened` record: its fencing token."""
        return self._timeline.opened.number

    @property
    def end(self) -> int:
        """The number of its newest record."""
        return self._number

    def open(self, body: JsonObject) -> None:
        """Commits `opened` on the present timeline; from now on an older writer's commits fail."""
        self._open_on(self._timeline, body)

    def commit(self, stage: Stage) -> tuple[CheckpointEntry, int]:
        """Writes and verifies all blobs, then the record. Returns the entry and the bytes written in blobs."""
        number = self._number + 1
        # Before all else: each holds its own copy until it is written.
        share = stage.state.write_shards
        shards = () if share is None else tuple(share(self._store, self.opening, number))
        values = [encode_state(stage.state), *(encode_arrays(joined) for joined in joined_rows(stage.adds))]
        # On a bucket a commit takes as long as its requests that wait for each other: with these two, three. But where
        # reading the blobs back takes its time, the record would be looked at too long before the next is created.
        is_quick = sum(map(len, values)) + sum(ref.size for ref in shards) <= QUICK_BYTES
        looking = {record_key(self._number): MOST_BYTES} if is_quick else {}
        (state, *adds), back = write_blobs(self._store, self.opening, number, values, looking)
        read = back if looking else None
        entry = CheckpointEntry(
            number=number,
            parent=self._timeline.tip.number,
            phase=stage.phase,
            iteration=stage.iteration,
            item_count=stage.item_count,
            date="",
            metrics=stage.metrics,
            state=state,
            adds=tuple(adds),
            fresh=stage.fresh,
            ended=stage.ended,
            inputs=stage.inputs,
            run=number,
            shards=shards,
        )
        self._append(Kind.CHECKPOINT, body_of(entry), self.opening, with_index=needs_roll(self._timeline), read=read)
        return self._timeline.newest[stage.phase], entry.size_bytes

    def remove(self, checkpoints: tuple[int, ...], keys: tuple[str, ...]) -> None:
        """Takes checkpoints off the list; the keys may be deleted once this returns, and not before."""
        body: JsonObject = {"checkpoints": list(checkpoints), "keys": list(keys)}
        self._append(Kind.REMOVED, body, self.opening, with_index=needs_roll(self._timeline))

    def reindex(self) -> None:
        """Makes the index anew, out of the records alone; commits it with a removal of nothing.

        What the newest removal has named must be deleted before. Raises `DamagedData` if a record is damaged.
        """
        self._timeline = self._journal.load_unindexed(self._timeline.tip.number)
        self._append(Kind.REMOVED, {"checkpoints": [], "keys": []}, self.opening, with_index=True)

    def close(self, outcome: Outcome, reason: str, cost: SavingCost | None = None, *, is_lost: bool = False) -> None:
        """Says how this opening ended, and what saving has cost; of a long reason the beginning.

        `is_lost`: another of the processes that train together was gone, so that a launcher starts all of them again.
        """
        readable = reason.encode(errors="backslashreplace").decode()
        body: JsonObject = {"outcome": outcome.value, "reason": readable[:MOST_REASON]}
        if cost is not None:
            body["saving"] = cost.to_json()
        if is_lost:
            body[LOST] = True
        self._append(Kind.CLOSED, body, self.opening)

    def step_back(self, before: int) -> None:
        """Goes back to the state that record `before` was built on, and opens the session anew from there.

        Where that record is damaged, too, to the newest valid state before it. The passed-over records stay in the log,
        on a branch that nothing follows any more. What they had removed stays removed: where that state rested on it,
        an earlier one is taken.
        """
        state = self._journal.state_before(before)
        if state is None:
            raise InternalError(f"record {before} has nothing before it")
        self._open_on(state.timeline, dict(self._timeline.opened.body))

    def _open_on(self, timeline: Timeline, body: JsonObject) -> None:
        branch = branch_from(self._store, timeline, self._number)
        self._timeline = branch.timeline
        kept: JsonObject = {name: value for name, value in body.items() if name != "removed"}
        if branch.removed:
            kept["removed"] = list(branch.removed)
        self._append(Kind.OPENED, kept, opening=self._number + 1)

    def _append(
        self, kind: Kind, body: JsonObject, opening: int, *, with_index: bool = False, read: Readable | None = None
    ) -> None:
        """`read` may hold the newest record as it was a moment ago; an index is written after that."""
        timeline, number = self._timeline, self._number + 1
        index = timeline.tip.index
        if with_index:
            index, summary = self._roll(timeline, number)
        else:
            summary = None
        self._journal.check_unchanged(self._number, self._previous, None if with_index else read)
        wanted = Record(
            number=number,
            kind=kind,
            parent=timeline.tip.number,
            previous=self._previous,
            opening=opening,
            writer=self._writer_id,
            session=timeline.tip.session,
            date=self._clock.now().isoformat(),
            index=index,
            body=body,
        )
        record = self._journal.append(wanted)
        if record is not wanted and record.encode() != replace(wanted, date=record.date).encode():
            raise StoreError(
                f"{self._store.url}: record {number} holds what this job tried to write before, without a reply; "
                "run the same command again, which goes on from what is there",
                record_key(number),
            )
        self._number, self._previous = number, sha256(record.encode())
        if summary is None:
            self._timeline = advance(timeline, record)
        else:
            self._timeline = replace(begin(record, timeline.opened, summary), closed=timeline.closed)

    def _roll(self, timeline: Timeline, number: int) -> tuple[BlobRef, Summary]:
        """A new index; where a page of the present one is damaged, out of the records alone."""

        def read(ref: BlobRef) -> bytes:
            return read_blob(self._store, ref)

        try:
            return roll(timeline, number, read, self._blob)
        except DamagedData as page:
            try:
                whole = self._journal.load_unindexed(timeline.tip.number)
            except DamagedData:
                raise page from None
            return roll(whole, number, read, self._blob)

    def _blob(self, data: bytes) -> BlobRef:
        return write_blob(self._store, self.opening, self._number + 1, data)


def joined_rows(adds: tuple[Arrays, ...]) -> tuple[dict[str, Array], ...]:
    """All steps' rows as one mapping of arrays, joined along the first axis; nothing if there are none."""
    filled = [arrays for arrays in adds if arrays]
    if not filled:
        return ()
    expected = _row_types(filled[0])
    for arrays in filled:
        found = _row_types(arrays)
        if found != expected:
            raise InternalError(f"a phase's additive output changed from {expected} in one step to {found} in another")
    return ({name: np.concatenate([arrays[name] for arrays in filled]) for name in filled[0]},)


def _row_types(arrays: Arrays) -> dict[str, str]:
    """The type of one row by name: joining different ones would depend on where saves fall."""
    if any(array.ndim == 0 for array in arrays.values()) or len({len(array) for array in arrays.values()}) > 1:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise InternalError(f"additive output needs arrays of equally many rows, not of shapes {shapes}")
    return {name: f"{array.dtype}{list(array.shape[1:])}" for name, array in arrays.items()}
