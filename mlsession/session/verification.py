"""Verifying a session: every byte that its checkpoints rest on is read and hashed. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mlsession.errors import DamagedData
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import record_of
from mlsession.session.log.pages import additive_blobs, live_checkpoints
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import Timeline
from mlsession.session.removal import rows_as_of
from mlsession.store.protocol import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Stored bytes that are not those that were written."""

    checkpoint: int | None
    """The number of the checkpoint (or other record) that they were written for; None for an input of the session."""
    key: str
    reason: str

    def to_json(self) -> dict[str, object]:
        return {"checkpoint": self.checkpoint, "key": self.key, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was read, and what is wrong with it."""

    checkpoints: int
    """How many were checked: all that have not been removed."""
    blobs: int
    """How many different blobs were read: states, additive output, pages of the index, inputs."""
    size_bytes: int
    """Bytes of those that are whole."""
    problems: tuple[Problem, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every checkpoint can be used."""
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members."""
        return {
            "checkpoints": self.checkpoints,
            "blobs": self.blobs,
            "size_bytes": self.size_bytes,
            "problems": [problem.to_json() for problem in self.problems],
        }


def verify_session(store: Store, state: LogState) -> Verification:
    """Reads and hashes all that the checkpoints of a session rest on, one blob at a time; see `Verification`.

    Records are checked as far as they are needed: those that the state was read from, and those of the checkpoints.
    Raises `StoreError`.
    """
    check = _Check(store)
    for damage in state.damaged:
        check.note(damage)
    timeline = state.timeline
    check.index(timeline)
    opened = timeline.opened
    for ref in (*Identity.from_record(opened).attachments.values(), *_attachments(opened.body.get("attachments"))):
        check.blob(ref)
    live = check.by_index_or_records(timeline, lambda known: live_checkpoints(known, check.read)) or timeline.recent
    openings: set[int] = set()
    for entry in live:
        record = check.attempt(partial(Journal(store).read, entry.number))
        openings |= set() if record is None else {record.opening}
        check.blob(entry.state)
    for number in sorted(openings - {opened.number}):
        # What an earlier opening brought, such as the images of then: its checkpoints still rest on that.
        earlier = check.attempt(partial(Journal(store).read, number))
        for ref in _attachments(None if earlier is None else earlier.body.get("attachments")):
            check.blob(ref)
    for ref in _rows(check, timeline, live):
        check.blob(ref)
    return check.result(len(live))


class _Check:
    """What has been read so far."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._sizes: dict[str, int] = {}
        self._problems: dict[str, Problem] = {}

    def note(self, damage: DamagedData) -> None:
        number = record_of(damage.key)
        inputs = damage.key.startswith("blobs/") and number == 0
        problem = Problem(checkpoint=None if inputs else number, key=damage.key, reason=damage.reason)
        self._problems.setdefault(damage.key, problem)

    def attempt(self, call: Callable[[], T]) -> T | None:
        """What a call gives; None, and a note, where it meets damage."""
        try:
            return call()
        except DamagedData as damage:
            self.note(damage)
            return None

    def read(self, ref: BlobRef) -> bytes:
        self._sizes.setdefault(ref.key, 0)
        data = read_blob(self.store, ref)
        self._sizes[ref.key] = len(data)
        return data

    def blob(self, ref: BlobRef) -> None:
        """Reads a blob, unless it was read before."""
        if ref.key not in self._sizes:
            self.attempt(lambda: self.read(ref))

    def index(self, timeline: Timeline) -> None:
        if timeline.tip.index is not None:
            self.blob(timeline.tip.index)
        for pages in (timeline.checkpoint_pages, *(adds.pages for adds in timeline.adds.values())):
            for page in pages:
                self.blob(page.blob)

    def by_index_or_records(self, timeline: Timeline, look: Callable[[Timeline], T]) -> T | None:
        """What a state says; where a page of its index is damaged, as its records say it."""
        found = self.attempt(lambda: look(timeline))
        if found is not None:
            return found
        return self.attempt(lambda: look(Journal(self.store).load_unindexed(timeline.tip.number)))

    def result(self, checkpoints: int) -> Verification:
        return Verification(
            checkpoints=checkpoints,
            blobs=len(self._sizes),
            size_bytes=sum(self._sizes.values()),
            problems=tuple(sorted(self._problems.values(), key=lambda problem: (problem.checkpoint or 0, problem.key))),
        )


def _attachments(value: object) -> list[BlobRef]:
    return [BlobRef.from_json(ref) for ref in value.values()] if isinstance(value, dict) else []


def _rows(check: _Check, timeline: Timeline, live: Sequence[CheckpointEntry]) -> list[BlobRef]:
    """The blobs of additive output that the checkpoints build on, of each run up to its last one."""
    last = {(entry.phase, entry.run): entry for entry in live}
    found: list[BlobRef] = []
    for (phase, run), entry in last.items():
        newest = timeline.newest.get(phase)
        if newest is not None and newest.run == run:
            refs = check.by_index_or_records(timeline, partial(additive_blobs, phase=phase, read=check.read))
        else:
            refs = check.attempt(partial(rows_as_of, check.store, entry))
        found += refs or ()
    return found
