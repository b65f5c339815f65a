"""Verifying a session: is everything there that its checkpoints rest on, and is it what was written? Only reads.

plain   reads every record and the index; of all other blobs looks whether the listing has them, in their size
deep    reads every byte, hashes it, and takes apart what is taken apart to load it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from mlsession.errors import DamagedData, KeyMissing
from mlsession.session.branching import branch_from, resting_commits
from mlsession.session.checkpoint import checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import decode_arrays, decode_state, read_blob
from mlsession.session.log.history import History, read_history
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import is_ours, record_key, record_of
from mlsession.session.log.pages import additive_blobs, live_checkpoints
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import Timeline
from mlsession.session.retention import removable
from mlsession.session.upkeep.garbage import find_garbage, last_of_runs
from mlsession.session.upkeep.integrity import Cure, Problem, Verification
from mlsession.session.upkeep.removal import rows_as_of
from mlsession.store.protocol import Store

T = TypeVar("T")


def verify_session(store: Store, state: LogState, deep: bool = False) -> Verification:
    """Looks at all that the checkpoints of a session rest on, one blob at a time; see `Verification`.

    Raises `NewerFormat` and `StoreError`.
    """
    listing = {entry.key: entry.size for entry in store.list()}
    check, timeline = _Check(store, listing, deep), state.timeline
    history = read_history(store, state.end)
    for damage in state.damaged:
        check.note(damage, Cure.REINDEX if damage.key.startswith("blobs/") else Cure.GO_BACK)
    check.index(timeline)
    live = check.by_index_or_records(timeline, lambda known: live_checkpoints(known, check.read)) or timeline.recent
    for entry in live:
        check.blob(entry.state, Cure.REMAKE, decode_state)
        for ref in entry.shards:
            check.blob(ref, Cure.REMAKE, decode_arrays)
        _check_record(check, history, entry)
    for ref in _inputs(timeline, history, live):
        check.blob(ref, Cure.NONE)
    for ref in _rows(check, timeline, live):
        check.blob(ref, Cure.REMAKE, decode_arrays)
    check.remove_what_can_go(timeline, live)
    resumes_from = resumed_from(store, timeline, state.end, check.damaged)
    unreferenced = _garbage_sizes(store, state)
    return Verification(
        deep=deep,
        checkpoints=len(live),
        records=history.count,
        blobs=check.num_blobs,
        size_bytes=check.size_bytes,
        problems=check.problems,
        resumes_from=None if resumes_from is None else checkpoint_of(resumes_from, store.url),
        given_up=tuple(key for number in sorted(history.damaged) if (key := record_key(number)) not in check.damaged),
        unreferenced=None if unreferenced is None else len(unreferenced),
        unreferenced_bytes=None if unreferenced is None else sum(unreferenced.values()),
        foreign=tuple(sorted(key for key in listing if not is_ours(key))),
    )


def resumed_from(store: Store, timeline: Timeline, end: int, damaged: Iterable[str]) -> CheckpointEntry | None:
    """The newest checkpoint that a run which needs everything can go on from, where blobs of these keys are damaged.

    `end` is the newest record. None: it starts at the beginning.
    """
    journal, keys = Journal(store), frozenset(damaged)
    while True:
        resting = resting_commits(timeline)
        lost = [number for key in _gone_on_from(store, timeline, resting) & keys if (number := record_of(key))]
        if not lost:
            return max(resting, key=lambda entry: entry.number, default=None)
        try:
            state = journal.state_before(min(lost))
            if state is None:
                return None
            timeline = branch_from(store, state.timeline, end).timeline
        except DamagedData:
            return None


def _gone_on_from(store: Store, timeline: Timeline, resting: Iterable[CheckpointEntry]) -> frozenset[str]:
    """The blobs that going on reads: states that count, and the rows that what comes next is made of."""
    phases, found = Identity.from_record(timeline.opened).phases, set[str]()
    for entry in resting:
        found |= {ref.key for ref in entry.states}
        if not (entry.ended and phases[-1:] == (entry.phase,)):
            try:
                found |= {ref.key for ref in Journal(store).additive(timeline, entry.phase)}
            except DamagedData as page:
                found.add(page.key)
    return frozenset(found)


class _Check:
    """What has been looked at so far."""

    def __init__(self, store: Store, listing: Mapping[str, int], deep: bool) -> None:
        self._store = store
        self._listing = listing
        self._deep = deep
        self._sizes: dict[str, int] = {}
        self._problems: dict[str, Problem] = {}

    @property
    def damaged(self) -> frozenset[str]:
        return frozenset(self._problems)

    @property
    def num_blobs(self) -> int:
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes.values())

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._problems.values(), key=lambda problem: (problem.checkpoint or 0, problem.key)))

    def note(self, damage: DamagedData, cure: Cure) -> None:
        number = record_of(damage.key)
        inputs = damage.key.startswith("blobs/") and number == 0
        problem = Problem(checkpoint=None if inputs else number, key=damage.key, reason=damage.reason, cure=cure)
        self._problems.setdefault(damage.key, problem)

    def attempt(self, call: Callable[[], T], cure: Cure) -> T | None:
        """What a call gives; None, and a note, where it meets damage."""
        try:
            return call()
        except DamagedData as damage:
            self.note(damage, cure)
            return None

    def read(self, ref: BlobRef) -> bytes:
        self._sizes.setdefault(ref.key, 0)
        data = read_blob(self._store, ref)
        self._sizes[ref.key] = len(data)
        return data

    def blob(self, ref: BlobRef, cure: Cure, parse: Callable[[bytes, str], object] | None = None) -> None:
        """Looks at a blob, unless that was done before."""
        if ref.key in self._sizes:
            return
        if not self._deep:
            self.attempt(lambda: self._find(ref), cure)
        elif (data := self.attempt(lambda: self.read(ref), cure)) is not None and parse is not None:
            self.attempt(lambda: parse(data, ref.key), cure)

    def index(self, timeline: Timeline) -> None:
        """Reads the index, in either mode: without it nobody knows what else there must be."""
        pages = (*timeline.checkpoint_pages, *(page for adds in timeline.adds.values() for page in adds.pages))
        for ref in (*((timeline.tip.index,) if timeline.tip.index else ()), *(page.blob for page in pages)):
            if ref.key not in self._sizes:
                self.attempt(partial(self.read, ref), Cure.REINDEX)

    def by_index_or_records(self, timeline: Timeline, look: Callable[[Timeline], T]) -> T | None:
        """What a state says; where a page of its index is damaged, as its records say it."""
        found = self.attempt(lambda: look(timeline), Cure.REINDEX)
        if found is not None:
            return found
        return self.attempt(lambda: look(Journal(self._store).load_unindexed(timeline.tip.number)), Cure.NONE)

    def remove_what_can_go(self, timeline: Timeline, live: tuple[CheckpointEntry, ...]) -> None:
        """Finds out which damaged checkpoints nothing rests on."""
        lost = {entry.number: entry for entry in live if _own_keys(entry) & self.damaged}
        phases = Identity.from_record(timeline.opened).phases
        for entry in removable(live, timeline.newest, phases, lost):
            for key in _own_keys(entry) & self.damaged:
                was = self._problems[key]
                if was.cure is not Cure.GO_BACK:
                    self._problems[key] = Problem(
                        checkpoint=was.checkpoint, key=key, reason=was.reason, cure=Cure.REMOVE
                    )

    def _find(self, ref: BlobRef) -> None:
        """Raises `DamagedData` if the blob is not there, or not of its size."""
        self._sizes[ref.key] = 0
        size = self._listing.get(ref.key)
        if size is None:
            try:
                # The listing may be older than the blob.
                size = len(self._store.get_range(ref.key, 0, ref.size + 1))
            except KeyMissing as error:
                raise DamagedData(ref.key, "it is missing") from error
        if size != ref.size:
            raise DamagedData(ref.key, f"it has {size} bytes in place of {ref.size}")
        self._sizes[ref.key] = size


def _own_keys(entry: CheckpointEntry) -> frozenset[str]:
    """Of what is a checkpoint's alone, and goes with it."""
    return frozenset({record_key(entry.number), *(ref.key for ref in entry.states)})


def _check_record(check: _Check, history: History, entry: CheckpointEntry) -> None:
    """A checkpoint is found by its own record, and its images by that of its opening."""
    for number in {entry.number, history.openings.get(entry.number, entry.number)}:
        if number in history.damaged:
            check.note(history.damaged[number], Cure.NONE)
        elif number not in history.openings:
            check.note(DamagedData(record_key(number), "it is missing"), Cure.NONE)


def _inputs(timeline: Timeline, history: History, live: Iterable[CheckpointEntry]) -> list[BlobRef]:
    """Those of the session, of its newest opening, and of the earlier ones that checkpoints were made in."""
    openings = {timeline.opened.number, *(history.openings.get(entry.number, 0) for entry in live)}
    fixed = Identity.from_record(timeline.opened).attachments.values()
    return [*fixed, *(ref for number in sorted(openings) for ref in history.inputs.get(number, ()))]


def _rows(check: _Check, timeline: Timeline, live: tuple[CheckpointEntry, ...]) -> list[BlobRef]:
    """The blobs of additive output that the checkpoints build on, of each run up to its last one."""
    found: list[BlobRef] = []
    for (phase, run), entry in last_of_runs(live).items():
        newest = timeline.newest.get(phase)
        if newest is not None and newest.run == run:
            refs = check.by_index_or_records(timeline, partial(additive_blobs, phase=phase, read=check.read))
        else:
            refs = check.attempt(partial(rows_as_of, check._store, entry), Cure.NONE)
        found += refs or ()
    return found


def _garbage_sizes(store: Store, state: LogState) -> Mapping[str, int] | None:
    """Of an opening that did not say how it ended nothing: its writer may be at work."""
    timeline = state.timeline
    fence = state.end + 1 if timeline.closed is not None else timeline.opened.number
    try:
        return find_garbage(store, state, fence).sizes
    except DamagedData:
        return None
