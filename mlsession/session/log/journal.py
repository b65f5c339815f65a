"""The log in a store: reading it back past damage, and appending exactly one record a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from mlsession.errors import DamagedData, KeyExists, KeyMissing, SessionTakenOver, StoreError
from mlsession.session.log.blobs import read_blob, reading_ahead
from mlsession.session.log.layout import record_key
from mlsession.session.log.numbers import last_number, listed_numbers
from mlsession.session.log.pages import additive_blobs, live_checkpoints
from mlsession.session.log.reading import LogReader, digest_of, stored_bytes
from mlsession.session.log.records import MOST_BYTES, MOST_NUMBER, BlobRef, CheckpointEntry, Record
from mlsession.session.log.timeline import Timeline
from mlsession.store.bulk import Readable, get_many
from mlsession.store.protocol import Store

__all__ = ["Journal", "LogState", "stored_bytes"]

_AT_ONCE = 64
"""Records that are asked for together: at most 64 MB."""


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

        What looks damaged is read again before it is passed over: it may have been damaged on its way here. Raises
        `DamagedData` if records exist and none of them gives a valid state, and `NewerFormat`.
        """
        try:
            state = self._look(newest)
            if state is None or not state.damaged:
                return state
        except DamagedData:
            pass  # The second look raises it as well, or finds all whole.
        return self._look(newest)

    def _look(self, newest: int | None) -> LogState | None:
        reader = LogReader(self._store)
        end = self._end(reader)
        if end is None:
            return None
        damaged: dict[str, DamagedData] = {}
        for number in self._downward(end if newest is None else min(newest, end)):
            if record_key(number) in damaged:
                continue
            try:
                timeline = reader.timeline(number, damaged)
            except DamagedData as damage:
                damaged.setdefault(damage.key, damage)
                continue
            found = tuple(damaged.values())
            return LogState(timeline=timeline, end=end, end_digest=reader.digest(end), damaged=found)
        raise DamagedData(record_key(0), "no record of this log gives a valid state; restore the folder from a copy")

    def state_before(self, number: int) -> LogState | None:
        """The state that a checkpoint's record, or one that removes some, was built on; None if that is the first.

        Of a record that is damaged itself, the newest valid state before it. Raises as `load` does.
        """
        try:
            parent = self.read(number).parent
        except DamagedData:
            parent = number - 1  # As of all records but openings.
        return None if parent is None else self.load(parent)

    def load_unindexed(self, number: int) -> Timeline:
        """The state as of one record, out of the records alone. Raises `DamagedData` if one of them is damaged."""
        return LogReader(self._store).unindexed(number)

    def checkpoints(self, timeline: Timeline) -> tuple[CheckpointEntry, ...]:
        """All checkpoints that have not been removed, oldest first.

        Where a page of the index is damaged, as the records say it; raises `DamagedData` if they are damaged, too.
        """
        read = reading_ahead(self._store, [page.blob for page in timeline.checkpoint_pages])
        try:
            return live_checkpoints(timeline, read)
        except DamagedData:
            return live_checkpoints(self.load_unindexed(timeline.tip.number), read)

    def additive(self, timeline: Timeline, phase: str) -> tuple[BlobRef, ...]:
        """The blobs of a phase's additive output, in order.

        Where a page of the index is damaged, as the records say it; raises that damage if they are damaged, too.
        """

        def read(ref: BlobRef) -> bytes:
            return read_blob(self._store, ref)

        try:
            return additive_blobs(timeline, phase, read)
        except DamagedData as page:
            try:
                return additive_blobs(self.load_unindexed(timeline.tip.number), phase, read)
            except DamagedData:
                raise page from None

    def count_checkpoints(self, timeline: Timeline) -> int:
        """How many `checkpoints` there are; reads their pages only if the tail has removed some of those."""
        if any(number < timeline.start for number in timeline.removed):
            return len(self.checkpoints(timeline))
        return sum(page.count for page in timeline.checkpoint_pages) + len(timeline.recent)

    def append(self, record: Record) -> Record:
        """Creates the record's number, or finds that its writer already had.

        Returns what is stored under the number, which after a lost reply may be an earlier try of the same writer.
        Raises `SessionTakenOver` if another writer holds the number, be it that it is just writing there.
        """
        if record.number > MOST_NUMBER:
            raise DamagedData(record_key(MOST_NUMBER), "it is the last record that a log can hold; start a new session")
        data = record.encode()
        try:
            self._store.put_if_absent(record_key(record.number), data)
        except KeyExists:
            try:
                stored = self.read(record.number)
            except DamagedData:
                # Where creating is not atomic it may be half-written, and then not by this writer, which waits for it.
                raise self._taken_over(record.number) from None
            if stored.writer != record.writer:
                raise self._taken_over(record.number) from None
            return stored
        return record

    def check_unchanged(self, number: int, digest: str, read: Readable | None = None) -> None:
        """Raises `StoreError` if a record that was there is gone, and so most likely the whole session.

        Without this look a writer whose folder is removed or moved under its feet would go on there, with a log that
        has no beginning: nobody could open it, or make a session in its place. `digest` is that of `LogState`: where
        there is another record by now, a session was made in its place, or another writer opened this one, and it
        raises `SessionTakenOver`; `DamagedData` where there are other bytes that are none. `read` may hold the record
        already, of a moment ago.
        """
        try:
            # Twice, since it may have been damaged on its way here.
            if any(digest_of(stored_bytes(look, number)) == digest for look in (read or self._store, self._store)):
                return
        except KeyMissing:
            raise StoreError(
                f"{self._store.url}: record {number} of this session is gone, so it was removed, moved or emptied "
                "while it was in use; put it back where it was, or run the same command again to start anew",
                record_key(number),
            ) from None
        self.read(number)
        raise self._taken_over(number)

    def read(self, number: int) -> Record:
        """One record. Raises `DamagedData`, also if it is missing."""
        try:
            return LogReader(self._store).record(number)
        except DamagedData:
            return LogReader(self._store).record(number)  # It may have been damaged on its way here.

    def records(self, first: int, last: int) -> Iterator[Record]:
        """The whole ones of the records from `first` to `last`, ascending; many are asked for at once."""
        numbers = self.numbers(first, last)
        for start in range(0, len(numbers), _AT_ONCE):
            chunk = numbers[start : start + _AT_ONCE]
            stored = get_many(self._store, dict.fromkeys(map(record_key, chunk), MOST_BYTES))
            yield from self._whole(chunk, stored)

    def numbers(self, first: int, last: int) -> list[int]:
        """The numbers from `first` to `last` under which there are records, ascending, by a listing.

        A listing may be stale: those after its end are all named.
        """
        if first > last:
            return []
        listed = sorted(set(listed_numbers(self._store, first)))
        after = range(listed[-1] + 1 if listed else first, last + 1)
        return [number for number in (*listed, *after) if number <= last]

    def _whole(self, numbers: Iterable[int], stored: Mapping[str, bytes]) -> Iterator[Record]:
        for number in numbers:
            try:
                yield Record.decode(stored.get(record_key(number), b""), number)
            except DamagedData:
                with suppress(DamagedData):
                    yield self.read(number)  # Another look, as of one that is read alone.

    def _downward(self, start: int) -> Iterator[int]:
        """Records to try, newest first. A single file with a huge number must not make for as many requests."""
        yield start
        yield from reversed(self.numbers(0, start - 1))

    def _end(self, reader: LogReader) -> int | None:
        listed = last_number(self._store)
        end = -1 if listed is None else listed
        # A listing may be stale: only a missing key proves that the log ends here.
        while reader.has_record(end + 1):
            end += 1
        return end if end >= 0 else None

    def _taken_over(self, number: int) -> SessionTakenOver:
        return SessionTakenOver(
            f"another writer has opened {self._store.url} (record {number} is its); "
            "this job writes nothing more, and what it had committed is kept"
        )
