"""Reading on in a session that another process writes: its new records and heartbeats, told as events.

The I/O around `following`, which says what they mean. Only reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlsession.errors import DamagedData, KeyMissing, SessionNotFound
from mlsession.events import CheckpointSkipped, Event
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal, LogState, stored_bytes
from mlsession.session.log.layout import record_key, record_of
from mlsession.session.log.pages import live_checkpoints
from mlsession.session.log.records import CheckpointEntry, Kind, Record
from mlsession.session.opening import require_session
from mlsession.session.watching.beat import Beat
from mlsession.session.watching.following import (
    UNBEGUN,
    Following,
    Standing,
    after_beat,
    after_record,
    begin_following,
    standing_of,
)
from mlsession.store.protocol import Store

MOST_PAST = 1_000
"""Checkpoints of the past that are told when following begins; the newest ones."""


class SessionTail:
    """Where a followed session stands. Making one reads its past, and tells it.

    Raises `SessionNotFound`, `ForeignFiles`, `NewerFormat`, `DamagedData`. Belongs to the thread of its store.
    """

    def __init__(self, store: Store, emit: Callable[[Event], None]) -> None:
        self._store = store
        self._emit = emit
        self._known = self._begun(require_session(store), after=-1)

    @property
    def known(self) -> Following:
        """What is known by now."""
        return self._known

    def read_records(self) -> bool:
        """Reads on to the end of the log, one small request for each record and one more; False if nothing is new."""
        before = self._known.end
        while (record := self._next_record()) is not None:
            self._take(record)
        return self._known.end > before

    def hear(self, beat: bytes) -> None:
        """Takes the heartbeat of the present opening, read before the records were."""
        told = Beat.decode(beat)
        if told is not None:
            self._known, events = after_beat(self._known, told)
            self._tell(events)

    def check_it_exists(self) -> None:
        """Raises `SessionNotFound` if the session was deleted; one small request."""
        if not self._exists(self._known.end):
            self._reload()

    def has_moved(self) -> bool:
        """Whether the log goes on after all, past a gap too, which `read_records` cannot see; lists the log.

        Raises `SessionNotFound` if the session was deleted.
        """
        return self._reload() or self.read_records()

    def _reload(self) -> bool:
        state = Journal(self._store).load()
        if state is None:
            raise SessionNotFound(f"the session at {self._store.url} was deleted while it was followed")
        if state.end <= self._known.end or self._exists(self._known.end + 1):
            return False
        # A record is missing for good, and the log goes on behind it.
        self._known = self._begun(state, after=self._known.end)
        return True

    def _next_record(self) -> Record | None:
        while True:
            number = self._known.end + 1
            try:
                record = Record.decode(stored_bytes(self._store, number), number)
            except KeyMissing:
                return None
            except DamagedData as damage:
                # It may be half-written (a store without atomic creation), unless somebody has written on after it.
                if not self._exists(number + 1):
                    return None
                self._pass_over(number, damage)
                continue
            if record.session != self._known.session:
                raise SessionNotFound(
                    f"the session at {self._store.url} was deleted while it was followed, and another one has taken "
                    "its place; attach to that one anew"
                )
            return record

    def _take(self, record: Record) -> None:
        try:
            self._known, events = after_record(self._known, record, self._standing_before(record))
        except DamagedData as damage:
            self._pass_over(record.number, damage)
        else:
            self._tell(events)

    def _pass_over(self, number: int, damage: DamagedData) -> None:
        self._skipped(damage)
        self._known = replace(self._known, end=number)

    def _standing_before(self, record: Record) -> Standing:
        """What an opening goes on from; it may lie further back than the newest commit."""
        if record.kind is not Kind.OPENED or record.parent in (None, self._known.end):
            return self._known.standing
        state = Journal(self._store).load(record.parent)
        return UNBEGUN if state is None else standing_of(state.timeline)

    def _begun(self, state: LogState, after: int) -> Following:
        for damage in state.damaged:
            self._skipped(damage)
        past = self._past(state)
        told, earlier = past[-MOST_PAST:], past[:-MOST_PAST]
        before = (earlier[-1].phase, earlier[-1].iteration) if earlier else UNBEGUN
        known, events = begin_following(self._store.url, state, told, before, after)
        self._tell(events)
        return known

    def _past(self, state: LogState) -> tuple[CheckpointEntry, ...]:
        """The newest checkpoints, from at most two pages of the index."""
        timeline = state.timeline
        try:
            newest = replace(timeline, checkpoint_pages=timeline.checkpoint_pages[-2:])
            return live_checkpoints(newest, lambda ref: read_blob(self._store, ref))
        except DamagedData as damage:
            self._skipped(damage)
            return timeline.recent

    def _skipped(self, damage: DamagedData) -> None:
        number = record_of(damage.key) or 0
        self._emit(CheckpointSkipped(checkpoint=number, key=damage.key, reason=damage.reason))

    def _exists(self, number: int) -> bool:
        try:
            self._store.get_range(record_key(number), 0, 1)
        except KeyMissing:
            return False
        return True

    def _tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._emit(event)
