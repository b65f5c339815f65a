"""Reading a state out of a log: the newest records and the index before them, asked for several at once."""

from __future__ import annotations

from dataclasses import replace

from mlsession.errors import DamagedData, KeyMissing
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import record_key, record_of
from mlsession.session.log.pages import MOST_INDEX_BYTES, TAIL, read_summary
from mlsession.session.log.records import MOST_BYTES, BlobRef, Kind, Record
from mlsession.session.log.timeline import Summary, Timeline, advance, begin
from mlsession.store.bulk import Readable, ReadAhead
from mlsession.store.protocol import Store

_AT_ONCE = 2 * TAIL
"""Records that are asked for together."""

Damages = dict[str, DamagedData]
"""What could be done without, by key."""


class LogReader:
    """Reads states of one log. What it has read it keeps, so make one for each look at the log."""

    def __init__(self, store: Store) -> None:
        self._ahead = ReadAhead(store)

    def has_record(self, number: int) -> bool:
        """Whether there is a record, damaged or not; the one before it is here as well from now on."""
        self._fetch(range(max(number - 1, 0), number + 1))
        try:
            self._ahead.get_range(record_key(number), 0, 1)
        except KeyMissing:
            return False
        return True

    def digest(self, number: int) -> str:
        """The SHA-256 of a record's stored bytes; "" where they are gone, or too long to be a record."""
        try:
            return digest_of(stored_bytes(self._ahead, number))
        except KeyMissing:
            return ""

    def record(self, number: int) -> Record:
        """One record. Raises `DamagedData`, also if it is missing."""
        return Record.decode(self._bytes(number), number)

    def timeline(self, number: int, damaged: Damages) -> Timeline:
        """The state as of one record; notes in `damaged` what it could do without. Raises `DamagedData`."""
        tip = self.record(number)
        self._prepare(tip)
        return self._fold(tip, self._summary(tip, damaged), damaged)

    def unindexed(self, number: int) -> Timeline:
        """The state as of one record, out of the records alone. Raises `DamagedData` if one of them is damaged."""
        return self._fold(self.record(number), Summary(), {})

    def _prepare(self, tip: Record) -> None:
        """Asks at once for all that a state needs if nothing is damaged."""
        wanted = {record_key(tip.opening): MOST_BYTES}
        start = 0
        if tip.index is not None:
            wanted[tip.index.key] = min(tip.index.size, MOST_INDEX_BYTES) + 1
            # The record that an index was written for is the first that is not in it.
            start = record_of(tip.index.key) or 0
        newest = range(max(start, tip.number - _AT_ONCE), tip.number)
        self._ahead.fetch(wanted | {record_key(number): MOST_BYTES for number in newest})

    def _summary(self, tip: Record, damaged: Damages) -> Summary:
        """What the newest index says that is whole: an index only saves reading, and records say the same."""
        record, index = tip, tip.index
        while index is not None:
            try:
                return read_summary(index, self._blob)
            except DamagedData as damage:
                damaged.setdefault(damage.key, damage)
            while record.index == index:
                if record.parent is None:
                    return Summary()
                record = self._parent_of(record, record.parent)
            index = record.index
        return Summary()

    def _fold(self, tip: Record, summary: Summary, damaged: Damages) -> Timeline:
        first, *rest = reversed(self._tail(tip, summary.start, damaged))
        timeline = begin(first, self._opening_of(first, damaged), summary)
        for record in rest:
            timeline = advance(timeline, record)
        return timeline

    def _tail(self, tip: Record, start: int, damaged: Damages) -> list[Record]:
        """The records from `tip` back to `start`, newest first."""
        if start > tip.number:
            raise DamagedData(record_key(tip.number), f"its index begins after it, at {start}")
        tail = [tip]
        while tail[-1].number > start:
            child, parent = tail[-1], tail[-1].parent
            if parent is None or not start <= parent < child.number:
                raise DamagedData(record_key(child.number), f"its parent {parent} does not lead back to {start}")
            try:
                tail.append(self._parent_of(child, parent, start))
            except DamagedData as damage:
                if parent > 0 or child.kind is not Kind.OPENED:
                    raise
                # Record 0 says only what the session is, and every opening repeats that.
                damaged.setdefault(damage.key, damage)
                break
        return tail

    def _parent_of(self, child: Record, number: int, lowest: int = 0) -> Record:
        """The record that `child` extends; those before it down to `lowest` will be asked for as well.

        Raises `DamagedData` if it is not the one that its writer saw.
        """
        if not self._ahead.holds(record_key(number)):
            self._fetch(range(max(lowest, number - _AT_ONCE + 1, 0), number + 1))
        data = self._bytes(number)
        parent = Record.decode(data, number)
        if number == child.number - 1 and child.previous != sha256(data):
            raise DamagedData(record_key(number), "it is not the record that the next one was written after")
        if parent.session != child.session:
            raise DamagedData(record_key(child.number), "it belongs to another session than the record before it")
        return parent

    def _opening_of(self, record: Record, damaged: Damages) -> Record:
        if record.opening == record.number:
            return record
        try:
            opening = self.record(record.opening)
            if opening.session != record.session:
                raise DamagedData(record_key(record.opening), "it belongs to another session than what came after it")
            return opening
        except DamagedData as damage:
            # The index holds the state; of an opening before it only what the session is matters, and record 0
            # says that as well. Who had opened it is lost, so its heartbeat decides whether it lives.
            damaged.setdefault(damage.key, damage)
            return replace(self.record(0), kind=Kind.OPENED, number=record.opening, opening=record.opening)

    def _fetch(self, numbers: range) -> None:
        self._ahead.fetch({record_key(number): MOST_BYTES for number in numbers})

    def _bytes(self, number: int) -> bytes:
        try:
            return stored_bytes(self._ahead, number)
        except KeyMissing as error:
            raise DamagedData(record_key(number), "it is missing") from error

    def _blob(self, ref: BlobRef) -> bytes:
        return read_blob(self._ahead, ref)


def digest_of(data: bytes) -> str:
    """The SHA-256 of `stored_bytes` in hex; "" where they are too long to be a record's."""
    return sha256(data) if len(data) < MOST_BYTES else ""


def stored_bytes(store: Readable, number: int) -> bytes:
    """What lies where record `number` must: all of it, or `MOST_BYTES` of what is too long to be one.

    Raises `KeyMissing`.
    """
    return store.get_range(record_key(number), 0, MOST_BYTES)
