"""A session's state: a pure fold of its log along the parents of the newest valid record.

    timeline = begin(summary of the index)          everything before `summary.start`
    for record in tail: timeline = advance(timeline, record)

The index keeps the tail short: every so often the writer sums the past up in immutable pages (see `pages`), so that
opening a session reads a bounded number of records however long it has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlsession.errors import DamagedData
from mlsession.session.log.layout import record_key
from mlsession.session.log.members import as_count, as_list, as_object
from mlsession.session.log.records import BlobRef, CheckpointEntry, JsonObject, Kind, Outcome, Record
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRef:
    """A page of the index: a blob holding `count` items."""

    blob: BlobRef
    count: int

    def to_json(self) -> JsonObject:
        return {"blob": self.blob.to_json(), "count": self.count}

    @staticmethod
    def from_json(value: Json) -> PageRef:
        page = as_object(value)
        return PageRef(blob=BlobRef.from_json(page["blob"]), count=as_count(page["count"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A long list of which the older part lies in pages."""

    pages: tuple[PageRef, ...] = ()
    recent: tuple[BlobRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an index says about all records before `start`."""

    start: int = 0
    newest: Mapping[str, CheckpointEntry] = field(default_factory=dict)
    """The newest commit of each phase."""
    checkpoints: tuple[PageRef, ...] = ()
    """Pages of live checkpoints."""
    adds: Mapping[str, tuple[PageRef, ...]] = field(default_factory=dict)
    """Pages of additive blobs by phase, in order."""
    removal: int | None = None
    """The newest `removed` record."""

    def to_json(self) -> JsonObject:
        return {
            "start": self.start,
            "removal": self.removal,
            "newest": {phase: entry.to_json() for phase, entry in self.newest.items()},
            "checkpoints": [page.to_json() for page in self.checkpoints],
            "adds": {phase: [page.to_json() for page in pages] for phase, pages in self.adds.items()},
        }

    @staticmethod
    def from_json(value: JsonObject) -> Summary:
        removal = value["removal"]
        return Summary(
            start=as_count(value["start"]),
            newest={phase: CheckpointEntry.from_json(entry) for phase, entry in as_object(value["newest"]).items()},
            checkpoints=tuple(PageRef.from_json(page) for page in as_list(value["checkpoints"])),
            adds={
                phase: tuple(PageRef.from_json(page) for page in as_list(pages))
                for phase, pages in as_object(value["adds"]).items()
            },
            removal=None if removal is None else as_count(removal),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The state of a session as of one record."""

    tip: Record
    """The newest record of this timeline."""
    opened: Record
    """The newest `opened` record, or `created` before there is one; it repeats what the session is."""
    closed: Record | None = None
    """How the newest opening ended, if it said so."""
    start: int = 0
    """Where the tail begins: records from here on are not in the index."""
    tail_length: int = 0
    newest: Mapping[str, CheckpointEntry] = field(default_factory=dict)
    checkpoint_pages: tuple[PageRef, ...] = ()
    recent: tuple[CheckpointEntry, ...] = ()
    """Live checkpoints of the tail, oldest first."""
    removed: frozenset[int] = frozenset()
    """Checkpoints removed by the tail, which pages may still show."""
    removal: int | None = None
    """The newest `removed` record: a crash may have left some of the keys that it names."""
    adds: Mapping[str, Sequence] = field(default_factory=dict)

    @property
    def last_commit(self) -> CheckpointEntry | None:
        """The newest commit of any phase."""
        return max(self.newest.values(), key=lambda entry: entry.number, default=None)


def begin(first: Record, opened: Record, summary: Summary) -> Timeline:
    """The timeline whose tail starts with `first`, on what the index says of the time before."""
    timeline = Timeline(
        tip=first,
        opened=opened,
        start=summary.start,
        newest=summary.newest,
        checkpoint_pages=summary.checkpoints,
        adds={phase: Sequence(pages=pages) for phase, pages in summary.adds.items()},
        removal=summary.removal,
    )
    return advance(timeline, first)


def advance(timeline: Timeline, record: Record) -> Timeline:
    """The timeline after one more record. Raises `DamagedData` for a body that its kind does not have."""
    after = replace(timeline, tip=record, tail_length=timeline.tail_length + 1)
    match record.kind:
        case Kind.CREATED | Kind.OPENED:
            return _without(replace(after, opened=record, closed=None), removed_by(record))
        case Kind.CLOSED:
            if record.body.get("outcome") not in tuple(Outcome):
                raise DamagedData(record_key(record.number), f"it has no outcome ({record.body.get('outcome')!r})")
            return replace(after, closed=record)
        case Kind.REMOVED:
            return _without(replace(after, removal=record.number), removed_by(record))
        case Kind.CHECKPOINT:
            return _with(after, entry_of(record, timeline.newest))


def entry_of(record: Record, newest: Mapping[str, CheckpointEntry]) -> CheckpointEntry:
    """The entry that a `checkpoint` record commits, after the `newest` commit of each phase. Raises `DamagedData`."""
    try:
        entry = CheckpointEntry.from_json(
            {
                **record.body,
                "number": record.number,
                "parent": record.parent,
                "date": record.date,
                "run": record.number,
            }
        )
        before = newest.get(entry.phase)
        return entry if entry.fresh or before is None else replace(entry, run=before.run)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedData(record_key(record.number), f"not a checkpoint's body ({error})") from error


def body_of(entry: CheckpointEntry) -> JsonObject:
    """The body of the record that commits `entry`; number, parent and date are the record's own, run follows."""
    return {name: value for name, value in entry.to_json().items() if name not in ("number", "parent", "date", "run")}


def removed_by(record: Record) -> frozenset[int]:
    """The checkpoints that a record takes off the list: a removal, or an opening that leaves a branch with removals.

    Raises `DamagedData`.
    """
    match record.kind:
        case Kind.REMOVED:
            numbers = record.body.get("checkpoints")
        case Kind.OPENED:
            numbers = record.body.get("removed", [])
        case _:
            numbers = []
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise DamagedData(record_key(record.number), "it does not list the checkpoints that it removes")
    return frozenset(number for number in numbers if isinstance(number, int))


def _with(timeline: Timeline, entry: CheckpointEntry) -> Timeline:
    past = Sequence() if entry.fresh else timeline.adds.get(entry.phase, Sequence())
    adds = replace(past, recent=past.recent + entry.adds)
    return replace(
        timeline,
        newest={**timeline.newest, entry.phase: entry},
        recent=(*timeline.recent, entry),
        adds={**timeline.adds, entry.phase: adds},
    )


def _without(timeline: Timeline, numbers: frozenset[int]) -> Timeline:
    if not numbers:
        return timeline
    return replace(
        timeline,
        recent=tuple(entry for entry in timeline.recent if entry.number not in numbers),
        removed=timeline.removed | numbers,
    )
