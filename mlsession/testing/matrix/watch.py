"""A session's invariants, checked after every call that changes its store.

`check_session` folds the whole log; this keeps what it knows and looks at what changed, so that it can come after each
call of a long run. It is written apart from the engine's own fold, and shares only the form of records with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mlsession.errors import DamagedData
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import blob_digest, is_ours, opening_of, record_key, record_number, record_of
from mlsession.session.log.records import BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import entry_of, removed_by
from mlsession.store.protocol import Entry, Store

_BEST_EFFORT = ("heartbeat/", "control/", "probe/")
"""Keys that no state of a session rests on."""

Run = tuple[str, int]
"""A phase, and the checkpoint with which this run of it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What one record says, with all that it builds on."""

    newest: Mapping[str, CheckpointEntry] = field(default_factory=dict)
    live: Mapping[int, CheckpointEntry] = field(default_factory=dict)
    rows: Mapping[Run, tuple[CheckpointEntry, ...]] = field(default_factory=dict)
    """All checkpoints of each run, removed ones too: those that stay rest on the rows of those before."""

    def with_commit(self, entry: CheckpointEntry) -> _State:
        run = (entry.phase, entry.run)
        return _State(
            newest={**self.newest, entry.phase: entry},
            live={**self.live, entry.number: entry},
            rows={**self.rows, run: (*self.rows.get(run, ()), entry)},
        )

    def without(self, gone: Collection[int]) -> _State:
        return replace(self, live={number: entry for number, entry in self.live.items() if number not in gone})

    def needed(self) -> dict[str, BlobRef]:
        """All blobs that the checkpoints rest on, by key."""
        last: dict[Run, int] = {}
        for entry in self.live.values():
            last[entry.phase, entry.run] = entry.number
        rows = (
            ref
            for run, number in last.items()
            for entry in self.rows[run]
            if entry.number <= number
            for ref in entry.adds
        )
        states = (ref for entry in self.live.values() for ref in entry.states)
        return {ref.key: ref for ref in (*states, *rows)}


class SessionWatch:
    """The invariants of one session, over all the attempts on it.

    What is there when the watch begins is looked at first. What breaks is noted in `broken`, one line each, not raised:
    the engine must not meet errors that no store has.
    """

    def __init__(self, store: Store, *, tears: bool = False, damaged: Collection[str] = ()) -> None:
        """`tears`: a kill may leave keys half-written. `damaged`: keys that were damaged on purpose."""
        self.broken: list[str] = []
        self.torn: set[int] = set()
        """Records that are half-written."""
        self.changes = 0
        """How many calls were looked at."""
        self._store = store
        self._tears = tears
        self._damaged = frozenset(damaged)
        self._states: dict[int, _State] = {}
        self._count = 0
        self._digest, self._session = "", ""
        self._opening, self._writer, self._tip = 0, "", -1
        self._state = _State()
        self._needed: Mapping[str, BlobRef] = {}
        self._deletable: set[str] = set()
        keys = {entry.key for entry in store.list()}
        while record_key(self._count) in keys:
            self._look(self._created(record_key(self._count), store.get(record_key(self._count))))

    @property
    def has_begun(self) -> bool:
        """Whether there is a record that can be read."""
        return self._tip >= 0

    def created(self, key: str, data: bytes) -> None:
        """After `put_if_absent`."""
        if not key.startswith(_BEST_EFFORT):
            self._look(self._created(key, data))

    def was_put(self, key: str, data: bytes) -> None:
        """After `put`."""
        if not key.startswith(_BEST_EFFORT):
            self._look(self._put(key, data))

    def deleted(self, key: str) -> None:
        """After `delete`."""
        if not key.startswith(_BEST_EFFORT):
            self._look(self._deleted(key))

    def _look(self, wrong: Iterable[str]) -> None:
        self.changes += 1
        self.broken.extend(wrong)

    def _put(self, key: str, data: bytes) -> Iterator[str]:
        if not is_ours(key):
            yield f"{key} is foreign, and was written"
        if record_number(key) is not None:
            yield f"{key} is a record, and was not created exclusively"
        whole = blob_digest(key) == sha256(data)
        if not whole and not self._tears:
            yield f"{key} holds other bytes than its name says"
        if key in self._needed and not whole:
            yield f"{key} was damaged by being written again, and checkpoints rest on it"

    def _deleted(self, key: str) -> Iterator[str]:
        if not is_ours(key):
            yield f"{key} is foreign, and was deleted"
        if key in self._needed:
            yield f"{key} was deleted, and checkpoints rest on it"
        if key not in self._deletable:
            yield f"{key} was deleted, and no removed record names it"

    def _created(self, key: str, data: bytes) -> Iterator[str]:
        number, expected = record_number(key), self._count
        if number != expected:
            yield f"{key} was created where record {expected} would be the next"
            return
        self._count += 1
        previous, self._digest = self._digest, sha256(data)
        try:
            record = Record.decode(data, number)
            yield from self._linked(record, previous)
            parent = self._states.get(record.parent if record.parent is not None else -1, _State())
            yield from self._folded(record, parent)
        except DamagedData as damage:
            self.torn.add(number)
            if not self._tears:
                yield f"record {number} cannot be read: {damage.reason}"

    def _linked(self, record: Record, previous: str) -> Iterator[str]:
        """Whether the log is one line, by one writer at a time."""
        number, opens = record.number, record.kind in (Kind.CREATED, Kind.OPENED)
        if record.previous != previous:
            yield f"record {number} was not written after the bytes of the one before"
        if (record.kind is Kind.CREATED) != (number == 0):
            yield f"record {number} is {record.kind}"
        begins_after_a_tear = self._tip == -1 and record.parent == 0
        steps_back = record.kind is Kind.OPENED and (record.parent in self._states or begins_after_a_tear)
        if number > 0 and record.parent != self._tip and not steps_back:
            yield f"record {number} builds on {record.parent}, and the newest whole one is {self._tip}"
        if opens and record.opening != number:
            yield f"opening {number} calls itself {record.opening}"
        if not opens and (record.opening, record.writer) != (self._opening, self._writer):
            yield f"record {number} is by the writer of opening {record.opening}, fenced out by {self._opening}"
        if self._session not in ("", record.session):
            yield f"record {number} is of another session"
        if opens:
            self._opening, self._writer = number, record.writer
        self._session, self._tip = record.session, number

    def _folded(self, record: Record, parent: _State) -> Iterator[str]:
        """Takes in what a record says of checkpoints, and looks whether all that they name is there."""
        number, gone = record.number, removed_by(record)
        state = parent.without(gone)
        if record.kind is Kind.CHECKPOINT:
            entry = entry_of(record, parent.newest)
            state = state.with_commit(entry)
            yield from self._named(record, entry)
        if record.kind is Kind.REMOVED:
            protected = gone & {entry.number for entry in parent.newest.values()}
            if protected:
                yield f"record {number} removes {protected}, the newest of a phase"
            if gone - parent.live.keys():
                yield f"record {number} removes {gone - parent.live.keys()}, which were not there"
        self._states[number], self._state = state, state
        needed = state.needed()
        if record.kind is Kind.REMOVED:
            keys = _keys_of(record)
            if keys & needed.keys():
                yield f"record {number} says that {keys & needed.keys()} may go, and checkpoints rest on it"
            self._deletable |= keys
        for key in needed.keys() - self._needed.keys():
            yield from self._blob(number, needed[key])
        if self._needed and not needed and not self._damaged:
            yield f"record {number} leaves no checkpoint, and there was one"
        self._needed = needed

    def _named(self, record: Record, entry: CheckpointEntry) -> Iterator[str]:
        for ref in (*entry.states, *entry.adds):
            if (opening_of(ref.key), record_of(ref.key)) != (record.opening, record.number):
                yield f"checkpoint {record.number} names {ref.key}, which was not written for it"
        if record.index is not None:
            yield from self._blob(record.number, record.index)

    def _blob(self, number: int, ref: BlobRef) -> Iterator[str]:
        if ref.key in self._damaged:
            return
        try:
            read_blob(self._store, ref)
        except DamagedData as damage:
            yield f"record {number} rests on {damage}"


def _keys_of(record: Record) -> set[str]:
    keys = record.body.get("keys")
    return {str(key) for key in keys} if isinstance(keys, list) else set()


class WatchedStore:
    """A store whose every change a `SessionWatch` looks at, as soon as it is made.

    To be put behind a `FaultyStore`: `FaultyStore(WatchedStore(store, watch), process)`.
    """

    def __init__(self, store: Store, watch: SessionWatch) -> None:
        self._store = store
        self._watch = watch

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def creates_exclusively(self) -> bool:
        """What the store behind says of itself; see `probe_exclusive`."""
        return bool(getattr(self._store, "creates_exclusively", True))

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        return self._store.get_range(key, start, stop)

    def put(self, key: str, data: bytes) -> None:
        self._store.put(key, data)
        self._watch.was_put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._store.put_if_absent(key, data)
        self._watch.created(key, data)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)
        self._watch.deleted(key)

    def close(self) -> None:
        self._store.close()
