"""What is true of every session at every instant, whatever crashed: checked from the stored bytes alone.

The check folds the whole log itself, without the index, so it is an independent oracle for `Journal`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.errors import KeyMissing
from mlsession.session.log.blobs import decode_arrays, decode_state, read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import is_ours, record_key, record_number, record_of
from mlsession.session.log.pages import additive_blobs, live_checkpoints, read_summary
from mlsession.session.log.records import MOST_BYTES, BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import entry_of
from mlsession.store.protocol import Store


class InvariantBroken(AssertionError):
    """A session is in a state that no crash may leave behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an undamaged log says, found without its index."""

    records: tuple[Record, ...]
    """All records in the order of their numbers."""
    timeline: tuple[Record, ...]
    """Those that the newest record builds on, and itself."""
    checkpoints: tuple[CheckpointEntry, ...]
    """Those of the timeline that were not removed, oldest first."""


def check_session(store: Store) -> Facts | None:
    """Checks an undamaged session; returns what it says, or None where none was created yet.

    Raises `InvariantBroken` if a key is foreign, the log has a gap, a record is too large, does not continue the one
    before it, or was written by a writer that had been fenced out; if a blob of a live checkpoint or of the index is
    missing or damaged; and if the state that the index gives differs from that of the whole log. Raises `DamagedData`
    for damaged records.
    """
    keys = [entry.key for entry in store.list()]
    _demand(all(map(is_ours, keys)), f"foreign keys: {[key for key in keys if not is_ours(key)]}")
    numbers = sorted(number for key in keys if (number := record_number(key)) is not None)
    if not numbers:
        return None
    _demand(numbers == list(range(len(numbers))), f"the log has gaps: {numbers}")
    records = _records(store, len(numbers))
    timeline = _timeline(records)
    removed = {number for record in timeline if record.kind is Kind.REMOVED for number in _numbers(record)}
    commits = tuple(entry_of(record) for record in timeline if record.kind is Kind.CHECKPOINT)
    live = tuple(entry for entry in commits if entry.number not in removed)
    for entry in live:
        _check_blobs(store, entry)
    _check_fold(store, records[-1], commits, live)
    return Facts(records=records, timeline=timeline, checkpoints=live)


def _records(store: Store, count: int) -> tuple[Record, ...]:
    records: list[Record] = []
    previous, opening, writer = "", 0, ""
    for number in range(count):
        data = store.get(record_key(number))
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


def _timeline(records: tuple[Record, ...]) -> tuple[Record, ...]:
    timeline = [records[-1]]
    while (parent := timeline[-1].parent) is not None:
        child = timeline[-1]
        _demand(parent < child.number, f"record {child.number} has the later parent {parent}")
        _demand(
            parent == child.number - 1 or child.kind is Kind.OPENED,
            f"record {child.number} skips back to {parent} without an opening",
        )
        timeline.append(records[parent])
    return tuple(reversed(timeline))


def _check_blobs(store: Store, entry: CheckpointEntry) -> None:
    decode_state(read_blob(store, entry.state), entry.state.key)
    for ref in entry.adds:
        decode_arrays(read_blob(store, ref), ref.key)
    for ref in (entry.state, *entry.adds):
        _demand(record_of(ref.key) == entry.number, f"checkpoint {entry.number} names another's {ref.key}")


def _check_fold(
    store: Store, tip: Record, commits: tuple[CheckpointEntry, ...], live: tuple[CheckpointEntry, ...]
) -> None:
    def read(ref: BlobRef) -> bytes:
        return read_blob(store, ref)

    state = Journal(store).load()
    if state is None:
        raise InvariantBroken("the log has records, and the journal sees none")
    timeline = state.timeline
    _demand(timeline.tip == tip, f"the journal stands at {timeline.tip.number}, not {tip.number}")
    _demand(state.end == tip.number and not state.damaged, f"the journal sees damage: {state.damaged}")
    newest = {entry.phase: entry for entry in commits}
    _demand(dict(timeline.newest) == newest, "the index gives other newest checkpoints than the log")
    _demand(live_checkpoints(timeline, read) == live, "the index gives other checkpoints than the log")
    if tip.index is not None:
        _demand(read_summary(tip.index, read).start <= tip.number, "the index begins after its record")
    for phase in newest:
        refs: tuple[BlobRef, ...] = ()
        for entry in commits:
            if entry.phase == phase:
                refs = entry.adds if entry.fresh else refs + entry.adds
        _demand(additive_blobs(timeline, phase, read) == refs, f"the index gives other output of {phase}")


def stored_bytes(store: Store) -> dict[str, bytes]:
    """Everything in a store by key; two of these are equal if nothing was written in between."""
    found: dict[str, bytes] = {}
    for entry in store.list():
        try:
            found[entry.key] = store.get(entry.key)
        except KeyMissing:
            continue  # Removed since it was listed.
    return found


def _numbers(record: Record) -> tuple[int, ...]:
    numbers = record.body.get("checkpoints")
    return tuple(number for number in numbers if isinstance(number, int)) if isinstance(numbers, list) else ()


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvariantBroken(otherwise)
