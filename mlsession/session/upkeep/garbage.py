"""Collecting garbage: blobs that no record names, or only records that nothing rests on any more.

They are what a kill leaves between a blob and its record, what a branch holds that nothing follows, and what an
interrupted removal did not come to delete. Whether a blob is garbage is decided by numbers alone, no clock is asked:

    a blob of opening O for record R                      is
    O is the present opening or a later one               left alone: its writer's
    O is 0: an input                                      left alone: its key may be written anew
    something that counts names it                        needed
    there is no record R                                  garbage: O is fenced out, so it can commit nothing more
    record R names it in an index                         left alone: old states are found by it
    record R names it otherwise, or not at all            garbage: R never changes

What counts is the state of the session as it is, and each of its checkpoints. Keys are never written again but with the
same bytes (see `repair`), so garbage stays garbage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from mlsession.errors import DamagedData
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import FOLDERS, opening_of, record_of
from mlsession.session.log.pages import live_checkpoints, read_summary, referenced_blobs
from mlsession.session.log.records import BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import Summary, Timeline, entry_of
from mlsession.session.opening import require_session
from mlsession.session.upkeep.leftovers import tidy_after
from mlsession.session.upkeep.maintenance import Maintenance
from mlsession.session.upkeep.removal import rows_as_of
from mlsession.session.watching.status import Status, read_status
from mlsession.store.bulk import delete_all
from mlsession.store.local import LocalStore
from mlsession.store.protocol import Store

_CURE = "nothing was deleted, since what it says may need any blob; `mlsession checkpoints repair` first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What nothing needs any more."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each blob by key."""
    temporary_files: int = 0
    """Half-written files of a local folder that were removed, too."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs together."""
        return sum(self.sizes.values())

    def to_json(self) -> dict[str, object]:
        """A JSON object with these figures; the keys as `keys`."""
        return {
            "keys": sorted(self.sizes),
            "size_bytes": self.size_bytes,
            "temporary_files": self.temporary_files,
        }


def collect_garbage(work: Maintenance, dry_run: bool = False) -> Garbage:
    """Deletes what nothing in the session needs any more, and says what that was; with `dry_run` only says it.

    The session is opened for it; where there is nothing to delete, nothing is written. Foreign files, inputs, records
    and what belongs to a living writer are never touched. Raises `DamagedData` where damage may hide that something is
    needed (then nothing is deleted), `SessionInUse`, `SessionTakenOver` and `StoreError`; the same call goes on after
    each of them.
    """
    known = require_session(work.store)
    if dry_run:
        return find_garbage(work.store, known, _first_alive(work, known))
    found = find_garbage(work.store, known, known.end + 1)
    if not found.sizes:
        return Garbage(temporary_files=_remove_temporary_files(work))
    with work.opened(known) as (writer, state):
        # Only now is it certain that nobody else commits: what was found before might be of a save in flight.
        tidy_after(state.timeline, work.open_store)
        found = find_garbage(work.store, replace(state, timeline=writer.timeline), writer.opening)
        delete_all(work.store, sorted(found.sizes))
    return replace(found, temporary_files=_remove_temporary_files(work))


def find_garbage(store: Store, state: LogState, fence: int) -> Garbage:
    """The blobs that nothing needs of those that openings before `fence` have written. Only reads.

    Raises `DamagedData` where damage may hide that something is needed.
    """
    try:
        for damage in state.damaged:
            raise damage
        needed = needed_keys(store, state.timeline)
        sizes = {entry.key: entry.size for entry in store.list("blobs")}
        suspect = [key for key in sizes if key not in needed and 0 < (opening_of(key) or 0) < fence]
        if not _is_fenced(store, state.timeline):
            # Nothing keeps an earlier writer from committing the next record after all.
            suspect = [key for key in suspect if (record_of(key) or 0) <= state.end]
        return Garbage(sizes={key: sizes[key] for key in _unnamed(store, suspect, state.end)})
    except DamagedData as damage:
        raise DamagedData(damage.key, f"{damage.reason}; {_CURE}") from damage


def needed_keys(store: Store, timeline: Timeline) -> frozenset[str]:
    """The keys of the blobs that the state of a session and its checkpoints rest on, inputs left out.

    Raises `DamagedData`.
    """

    def read(ref: BlobRef) -> bytes:
        return read_blob(store, ref)

    live = live_checkpoints(timeline, read)
    refs = [*referenced_blobs(timeline, read), *(ref for entry in live for ref in entry.states)]
    for (phase, run), entry in last_of_runs(live).items():
        if phase not in timeline.newest or timeline.newest[phase].run != run:
            refs += rows_as_of(store, entry)
    return frozenset(ref.key for ref in refs)


def last_of_runs(live: Iterable[CheckpointEntry]) -> dict[tuple[str, int], CheckpointEntry]:
    """By phase and run the last checkpoint that is left: the rows of all others of the run are among its."""
    return {(entry.phase, entry.run): entry for entry in live}


def _unnamed(store: Store, suspect: Iterable[str], end: int) -> Iterator[str]:
    """Those of the blobs, which nothing that counts names, that are not of an old index either."""
    by_record: dict[int, list[str]] = {}
    for key in suspect:
        by_record.setdefault(record_of(key) or 0, []).append(key)
    for number, keys in sorted(by_record.items()):
        if number > end:
            yield from keys
            continue
        record = Journal(store).read(number)
        committed, index = _committed_keys(record), _index_keys(store, record)
        yield from (key for key in keys if key in committed or (index is not None and key not in index))


def _committed_keys(record: Record) -> frozenset[str]:
    """The blobs that a checkpoint's record commits."""
    if record.kind is not Kind.CHECKPOINT:
        return frozenset()
    entry = entry_of(record, {})
    return frozenset(ref.key for ref in (*entry.states, *entry.adds))


def _index_keys(store: Store, record: Record) -> frozenset[str] | None:
    """The blobs of the index that was made for a record; None where it cannot be read any more."""
    if record.index is None or record_of(record.index.key) != record.number:
        return frozenset()
    try:
        summary: Summary = read_summary(record.index, lambda ref: read_blob(store, ref))
    except DamagedData:
        return None
    pages = (*summary.checkpoints, *(page for pages in summary.adds.values() for page in pages))
    return frozenset({record.index.key, *(page.blob.key for page in pages)})


def _is_fenced(store: Store, timeline: Timeline) -> bool:
    """Whether the store keeps a writer out once another one has opened the session."""
    return Identity.from_record(timeline.opened).exclusive and bool(getattr(store, "creates_exclusively", True))


def _first_alive(work: Maintenance, known: LogState) -> int:
    """The first opening that may be at work, as far as one can tell without opening the session."""
    status = read_status(work.store, known.timeline, work.clock.now(), work.stale_after)
    return known.timeline.opened.number if status is Status.RUNNING else known.end + 1


def _remove_temporary_files(work: Maintenance) -> int:
    """A day old by the clock of their own disk: only then is it certain that nobody writes them any more."""
    with closing(work.open_store()) as store:
        return sum(map(store.remove_leftovers, FOLDERS)) if isinstance(store, LocalStore) else 0
