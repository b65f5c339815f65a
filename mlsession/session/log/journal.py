"""The log in a store: reading it back past damage, and appending exactly one record a number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlsession.errors import DamagedData, KeyExists, KeyMissing, SessionTakenOver
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.pages import live_checkpoints, read_summary
from mlsession.session.log.records import BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import Summary, Timeline, advance, begin
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What a look at the log shows."""

    timeline: Timeline
    end: int
    """The largest record number present, damaged or not; the next writer takes `end + 1`."""
    end_digest: str
    """The SHA-256 of that record's stored bytes; "" if they are gone."""
    damaged: tuple[DamagedData, ...] = ()
    """Records and index blobs that were passed over on the way to the newest valid state."""


class Journal:
    """One session's log. Belongs to the thread that its store belongs to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, newest: int | None = None) -> LogState | None:
        """The newest valid state at or before record `newest` (default: the end); None if there is no log.

        Raises `DamagedData` if records exist and none of them gives a valid state, and `NewerFormat`.
        """
        end = self._end()
        if end is None:
            return None
        damaged: dict[str, DamagedData] = {}
        for number in range(end if newest is None else min(newest, end), -1, -1):
            if record_key(number) in damaged:
                continue
            try:
                timeline = self._timeline(number, damaged)
            except DamagedData as damage:
                damaged.setdefault(damage.key, damage)
                continue
            return LogState(timeline=timeline, end=end, end_digest=self._digest(end), damaged=tuple(damaged.values()))
        raise DamagedData(record_key(0), "no record of this log gives a valid state; restore the folder from a copy")

    def load_unindexed(self, number: int) -> Timeline:
        """The state as of one record, out of the records alone. Raises `DamagedData` if one of them is damaged."""
        return self._fold(self._read(number), Summary(), {})

    def checkpoints(self, timeline: Timeline) -> tuple[CheckpointEntry, ...]:
        """All checkpoints that have not been removed, oldest first.

        Where a page of the index is damaged, as the records say it; raises `DamagedData` if they are damaged, too.
        """
        try:
            return live_checkpoints(timeline, self._blob)
        except DamagedData:
            return live_checkpoints(self.load_unindexed(timeline.tip.number), self._blob)

    def append(self, record: Record) -> Record:
        """Creates the record's number, or finds that its writer already had.

        Returns what is stored under the number, which after a lost reply may be an earlier try of the same writer.
        Raises `SessionTakenOver` if another writer holds the number.
        """
        data = record.encode()
        try:
            self._store.put_if_absent(record_key(record.number), data)
        except KeyExists:
            stored = self._read(record.number)
            if stored.writer != record.writer:
                raise SessionTakenOver(
                    f"another writer has opened {self._store.url} (record {record.number} is its); "
                    "this job writes nothing more, and what it had committed is kept"
                ) from None
            return stored
        return record

    def read(self, number: int) -> Record:
        """One record. Raises `DamagedData`, also if it is missing."""
        return self._read(number)

    def _end(self) -> int | None:
        listed = (record_number(entry.key) for entry in self._store.list("log"))
        end = max((number for number in listed if number is not None), default=-1)
        # A listing may be stale: only a missing key proves that the log ends here.
        while self._exists(end + 1):
            end += 1
        return end if end >= 0 else None

    def _timeline(self, number: int, damaged: dict[str, DamagedData]) -> Timeline:
        """The state as of one record; notes in `damaged` what it could do without."""
        tip = self._read(number)
        return self._fold(tip, self._summary(tip, damaged), damaged)

    def _fold(self, tip: Record, summary: Summary, damaged: dict[str, DamagedData]) -> Timeline:
        first, *rest = reversed(self._tail(tip, summary.start, damaged))
        timeline = begin(first, self._opening_of(first, damaged), summary)
        for record in rest:
            timeline = advance(timeline, record)
        return timeline

    def _summary(self, tip: Record, damaged: dict[str, DamagedData]) -> Summary:
        try:
            return read_summary(tip.index, self._blob) if tip.index else Summary()
        except DamagedData as damage:
            # An index only saves reading: the records themselves say the same, from the first one on.
            damaged.setdefault(damage.key, damage)
            return Summary()

    def _tail(self, tip: Record, start: int, damaged: dict[str, DamagedData]) -> list[Record]:
        """The records from `tip` back to `start`, newest first."""
        if start > tip.number:
            raise DamagedData(record_key(tip.number), f"its index begins after it, at {start}")
        tail = [tip]
        while tail[-1].number > start:
            child, parent = tail[-1], tail[-1].parent
            if parent is None or not start <= parent < child.number:
                raise DamagedData(record_key(child.number), f"its parent {parent} does not lead back to {start}")
            try:
                tail.append(self._parent_of(child, parent))
            except DamagedData as damage:
                if parent > 0 or child.kind is not Kind.OPENED:
                    raise
                # Record 0 says only what the session is, and every opening repeats that.
                damaged.setdefault(damage.key, damage)
                break
        return tail

    def _parent_of(self, child: Record, number: int) -> Record:
        """The record that `child` extends. Raises `DamagedData` if it is not the one that its writer saw."""
        data = self._get(number)
        parent = Record.decode(data, number)
        if number == child.number - 1 and child.previous != sha256(data):
            raise DamagedData(record_key(number), "it is not the record that the next one was written after")
        if parent.session != child.session:
            raise DamagedData(record_key(child.number), "it belongs to another session than the record before it")
        return parent

    def _opening_of(self, record: Record, damaged: dict[str, DamagedData]) -> Record:
        if record.opening == record.number:
            return record
        try:
            opening = self._read(record.opening)
            if opening.session != record.session:
                raise DamagedData(record_key(record.opening), "it belongs to another session than what came after it")
            return opening
        except DamagedData as damage:
            # The index holds the state; of an opening before it only what the session is matters, and record 0
            # says that as well. Who had opened it is lost, so its heartbeat decides whether it lives.
            damaged.setdefault(damage.key, damage)
            return replace(self._read(0), kind=Kind.OPENED, number=record.opening, opening=record.opening)

    def _read(self, number: int) -> Record:
        return Record.decode(self._get(number), number)

    def _get(self, number: int) -> bytes:
        try:
            return self._store.get(record_key(number))
        except KeyMissing as error:
            raise DamagedData(record_key(number), "it is missing") from error

    def _blob(self, ref: BlobRef) -> bytes:
        return read_blob(self._store, ref)

    def _exists(self, number: int) -> bool:
        try:
            self._store.get_range(record_key(number), 0, 1)
        except KeyMissing:
            return False
        return True

    def _digest(self, number: int) -> str:
        try:
            return sha256(self._store.get(record_key(number)))
        except KeyMissing:
            return ""
