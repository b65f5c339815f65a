"""What is true of every session at every instant, whatever crashed: checked from the stored bytes alone.

The check folds the whole log itself, without the index, so it is an independent oracle for `Journal`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mlsession.errors import DamagedData, KeyMissing
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import decode_arrays, decode_state, read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import is_ours, record_key, record_number, record_of
from mlsession.session.log.pages import additive_blobs, live_checkpoints, read_summary
from mlsession.session.log.records import MOST_BYTES, BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import entry_of, removed_by
from mlsession.session.standing import valid_commits
from mlsession.session.upkeep.removal import MOST_CHECKPOINTS
from mlsession.store.protocol import Store


class InvariantBroken(AssertionError):
    """A session is in a state that no crash may leave behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an undamaged log says, found without its index."""

    records: tuple[Record, ...]
    """All whole records in the order of their numbers."""
    timeline: tuple[Record, ...]
    """Those that the newest record builds on, and itself."""
    checkpoints: tuple[CheckpointEntry, ...]
    """Those of the timeline that were not removed, oldest first."""


def check_session(store: Store, torn: Collection[int] = ()) -> Facts | None:
    """Checks an undamaged session; returns what it says, or None where none was created yet.

    `torn`: the numbers of records that kills left half-written, on a store where that can happen; they must be
    unreadable, and nothing may build on them.

    Raises `InvariantBroken` if a key is foreign, the log has a gap, a record is too large, does not continue the one
    before it, or was written by a writer that had been fenced out; if a blob that a live checkpoint rests on, or of the
    index, is missing or damaged; if what was removed was needed by what stayed; and if the state that the index gives
    differs from that of the whole log. Raises `DamagedData` for damaged records.
    """
    keys = [entry.key for entry in store.list()]
    _demand(all(map(is_ours, keys)), f"foreign keys: {[key for key in keys if not is_ours(key)]}")
    numbers = sorted(number for key in keys if (number := record_number(key)) is not None)
    if not numbers:
        return None
    _demand(numbers == list(range(len(numbers))), f"the log has gaps: {numbers}")
    records = _records(store, len(numbers), torn)
    if not records:
        return None
    timeline = _timeline(records)
    commits, live = _commits(timeline)
    rows = _rows(commits)
    # Each checkpoint rests on all that its phase put out before, so most blobs are those of many: read once.
    needed = {ref for entry in live for ref in rows[entry.number]}
    _check_blobs(store, live, needed)
    _check_removals(timeline, commits, live, {ref.key for ref in needed})
    _check_fold(store, records[-1], numbers[-1], torn, commits, live)
    return Facts(records=records, timeline=timeline, checkpoints=live)


def _records(store: Store, count: int, torn: Collection[int]) -> tuple[Record, ...]:
    records: list[Record] = []
    previous, opening, writer = "", 0, ""
    for number in range(count):
        data = store.get(record_key(number))
        if number in torn:
            _demand(not is_whole(data, number), f"record {number} should be torn, and is whole")
            previous = sha256(data)
            continue
        record = Record.decode(data, number)
        _demand(len(data) < MOST_BYTES, f"record {number} has {len(data)} bytes")
        _demand(record.encode() == data, f"record {number} is not what it decodes to")
        _demand(record.previous == previous, f"record {number} does not continue the bytes of the one before")
        _demand((record.kind is Kind.CREATED) == (number == 0), f"record {number} is {record.kind}")
        _demand((record.parent is None) == (number == 0), f"record {number} has parent {record.parent}")
        if record.kind in (Kind.CREATED, Kind.OPENED):
            _demand(record.opening == number, f"opening {number} names itself {record.opening}")
            opening, writer = number, record.writer
        _demand(
            (record.opening, record.writer) == (opening, writer),
            f"record {number} is by the writer of opening {record.opening}, fenced out by {opening}",
        )
        previous = sha256(data)
        records.append(record)
    return tuple(records)


def is_whole(data: bytes, number: int) -> bool:
    """Whether these bytes are record `number`."""
    try:
        Record.decode(data, number)
    except DamagedData:
        return False
    return True


def _timeline(records: tuple[Record, ...]) -> tuple[Record, ...]:
    by_number = {record.number: record for record in records}
    timeline = [records[-1]]
    while (parent := timeline[-1].parent) is not None:
        child = timeline[-1]
        _demand(parent < child.number, f"record {child.number} has the later parent {parent}")
        _demand(
            parent == child.number - 1 or child.kind is Kind.OPENED,
            f"record {child.number} skips back to {parent} without an opening",
        )
        if parent == 0 and parent not in by_number:
            break  # Torn, and every opening repeats what it says.
        _demand(parent in by_number, f"record {child.number} builds on {parent}, which is torn")
        timeline.append(by_number[parent])
    return tuple(reversed(timeline))


def _commits(timeline: tuple[Record, ...]) -> tuple[tuple[CheckpointEntry, ...], tuple[CheckpointEntry, ...]]:
    """All checkpoints of a timeline, and those that are left."""
    newest: dict[str, CheckpointEntry] = {}
    live: dict[int, CheckpointEntry] = {}
    commits: list[CheckpointEntry] = []
    for record in timeline:
        gone = removed_by(record)
        if record.kind is Kind.REMOVED:
            protected = {entry.number for entry in newest.values()}
            _demand(len(gone) <= MOST_CHECKPOINTS, f"record {record.number} removes {len(gone)} checkpoints")
            _demand(not gone & protected, f"record {record.number} removes {gone & protected}, the newest of a phase")
            _demand(gone <= live.keys(), f"record {record.number} removes {gone - live.keys()}, which were not there")
        for number in gone & live.keys():
            del live[number]
        if record.kind is Kind.CHECKPOINT:
            entry = entry_of(record, newest)
            newest[entry.phase] = live[entry.number] = entry
            commits.append(entry)
    return tuple(commits), tuple(live.values())


def _rows(commits: tuple[CheckpointEntry, ...]) -> dict[int, tuple[BlobRef, ...]]:
    """What the phase of each checkpoint had put out by then, by the checkpoint's number."""
    standing: dict[str, tuple[BlobRef, ...]] = {}
    rows: dict[int, tuple[BlobRef, ...]] = {}
    for entry in commits:
        standing[entry.phase] = entry.adds if entry.fresh else standing.get(entry.phase, ()) + entry.adds
        rows[entry.number] = standing[entry.phase]
    return rows


def _check_blobs(store: Store, live: tuple[CheckpointEntry, ...], rows: Collection[BlobRef]) -> None:
    for entry in live:
        decode_state(read_blob(store, entry.state), entry.state.key)
        for ref in entry.shards:
            decode_arrays(read_blob(store, ref), ref.key)
        for ref in (*entry.states, *entry.adds):
            _demand(record_of(ref.key) == entry.number, f"checkpoint {entry.number} names another's {ref.key}")
    for ref in rows:
        decode_arrays(read_blob(store, ref), ref.key)


def _check_removals(
    timeline: tuple[Record, ...],
    commits: tuple[CheckpointEntry, ...],
    live: tuple[CheckpointEntry, ...],
    rows: Collection[str],
) -> None:
    """What going on rests on was not removed, and the keys of removals are blobs of the past that nothing needs."""
    newest = {entry.phase: entry for entry in commits}
    resting = valid_commits(Identity.from_record(timeline[0]).phases, newest, lambda phase: newest[phase].inputs)
    lost = {entry.number for entry in resting.values()} - {entry.number for entry in live}
    _demand(not lost, f"going on rests on {lost}, which were removed")
    needed = {ref.key for entry in live for ref in entry.states} | set(rows)
    for record in timeline:
        if record.kind is Kind.REMOVED:
            named = record.body.get("keys")
            keys = {str(key) for key in named} if isinstance(named, list) else set()
            _demand(not keys & needed, f"record {record.number} deletes {keys & needed}, which are needed")
            earlier = [entry for entry in commits if entry.number < record.number]
            known = {ref.key for entry in earlier for ref in (*entry.states, *entry.adds)}
            _demand(keys <= known, f"record {record.number} deletes {keys - known}, which no checkpoint named")


def _check_fold(
    store: Store,
    tip: Record,
    end: int,
    torn: Collection[int],
    commits: tuple[CheckpointEntry, ...],
    live: tuple[CheckpointEntry, ...],
) -> None:
    def read(ref: BlobRef) -> bytes:
        return read_blob(store, ref)

    state = Journal(store).load()
    if state is None:
        raise InvariantBroken("the log has records, and the journal sees none")
    timeline = state.timeline
    _demand(timeline.tip == tip, f"the journal stands at {timeline.tip.number}, not {tip.number}")
    damaged = {damage.key for damage in state.damaged} - {record_key(number) for number in torn}
    _demand(state.end == end and not damaged, f"the journal sees damage: {state.damaged}")
    newest = {entry.phase: entry for entry in commits}
    _demand(dict(timeline.newest) == newest, "the index gives other newest checkpoints than the log")
    _demand(live_checkpoints(timeline, read) == live, "the index gives other checkpoints than the log")
    if tip.index is not None:
        _demand(read_summary(tip.index, read).start <= tip.number, "the index begins after its record")
    rows = _rows(commits)
    for phase, entry in newest.items():
        _demand(additive_blobs(timeline, phase, read) == rows[entry.number], f"the index gives other output of {phase}")


def stored_bytes(store: Store) -> dict[str, bytes]:
    """Everything in a store by key; two of these are equal if nothing was written in between."""
    found: dict[str, bytes] = {}
    for entry in store.list():
        try:
            found[entry.key] = store.get(entry.key)
        except KeyMissing:
            continue  # Removed since it was listed.
    return found


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvariantBroken(otherwise)
