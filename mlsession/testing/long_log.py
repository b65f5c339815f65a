"""Making a session's log long, in seconds: what a writer commits in days, without its waits and without its syncs."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from mlsession.errors import InvalidParameter
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import blob_key, record_key
from mlsession.session.log.pages import PAGE, TAIL, roll
from mlsession.session.log.records import BlobRef, CheckpointEntry, JsonObject, Kind, Outcome, Record
from mlsession.session.log.timeline import Timeline, advance, begin, body_of
from mlsession.store.protocol import Store

Put = Callable[[str, bytes], None]
"""Stores bytes under a key that nothing is stored under."""

_WRITER = "long-log"
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""Multiples of it spread evenly over the unit interval, and no two are equal."""


def lengthen_log(store: Store, count: int, put: Put | None = None) -> None:
    """Appends one opening with `count` checkpoints of the newest phase to a session that has one, and closes it.

    Each repeats that phase's newest state under a key of its own, with an iteration and metrics of its own; the outcome
    is `interrupted`. The records, states and pages are as `SessionWriter` writes them, but for the index, which is
    rolled once for each full page until the last one: a short-lived page costs more than all that it lists.

    `put` writes in place of the store's own, which may sync each file. Nobody else may write meanwhile. Raises
    `InvalidParameter` for a session without a checkpoint.
    """
    state = Journal(store).load()
    newest = None if state is None else state.timeline.last_commit
    if state is None or newest is None:
        raise InvalidParameter("store", store.url, "has no session with a checkpoint to repeat")
    log = _Log(store, put or store.put, state.timeline, state.end, state.end_digest)
    log.append(Kind.OPENED, dict(state.timeline.opened.body))
    data = read_blob(store, newest.state)
    for turn in range(1, count + 1):
        log.commit(newest, data, newest.iteration + turn, may_roll=_rolls_at(turn, count))
    log.append(Kind.CLOSED, {"outcome": Outcome.INTERRUPTED.value, "reason": ""})


def _rolls_at(turn: int, count: int) -> bool:
    """Whether the index may be rolled with a checkpoint: always on the last page, and before that when one is full."""
    return turn > count - PAGE or turn % PAGE == 1


class _Log:
    """A writer that waits for nothing."""

    def __init__(self, store: Store, put: Put, timeline: Timeline, end: int, end_digest: str) -> None:
        self._store = store
        self._put = put
        self._timeline = timeline
        self._number = end
        self._previous = end_digest
        self._opening = end + 1
        self._date = datetime.fromisoformat(timeline.tip.date)

    def commit(self, like: CheckpointEntry, data: bytes, iteration: int, *, may_roll: bool) -> None:
        """One checkpoint with the state `data`."""
        number = self._number + 1
        quality = number * _GOLDEN % 1.0
        entry = CheckpointEntry(
            number=number,
            parent=self._timeline.tip.number,
            phase=like.phase,
            iteration=iteration,
            item_count=iteration,
            date="",
            metrics={"accuracy": quality, "loss": 1.0 - quality},
            state=self._blob(data, like.state.sha256),
            adds=(),
            fresh=False,
            ended=like.ended,
            inputs=like.inputs,
            run=number,
        )
        self.append(Kind.CHECKPOINT, body_of(entry), may_roll=may_roll)

    def append(self, kind: Kind, body: JsonObject, *, may_roll: bool = False) -> None:
        """One record."""
        timeline, number = self._timeline, self._number + 1
        index, summary = timeline.tip.index, None
        if may_roll and timeline.tail_length >= TAIL:
            index, summary = roll(timeline, number, self._read, lambda page: self._blob(page, sha256(page)))
        self._date += timedelta(seconds=1)
        record = Record(
            number=number,
            kind=kind,
            parent=timeline.tip.number,
            previous=self._previous,
            opening=self._opening,
            writer=_WRITER,
            session=timeline.tip.session,
            date=self._date.isoformat(),
            index=index,
            body=body,
        )
        stored = record.encode()
        self._put(record_key(number), stored)
        self._number, self._previous = number, sha256(stored)
        self._timeline = advance(timeline, record) if summary is None else begin(record, timeline.opened, summary)

    def _blob(self, data: bytes, digest: str) -> BlobRef:
        ref = BlobRef(key=blob_key(self._opening, self._number + 1, digest), size=len(data), sha256=digest)
        self._put(ref.key, data)
        return ref

    def _read(self, ref: BlobRef) -> bytes:
        return read_blob(self._store, ref)
