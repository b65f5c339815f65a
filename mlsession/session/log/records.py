"""The records of a session's log: values and their exact stored form. Pure.

A record is one canonical JSON object with these members, and nothing in it is ever changed:

    format    the stored format's version
    number    its place in the log, from 0; also its key
    kind      created | opened | checkpoint | removed | closed
    parent    the number of the record whose state it extends; null for record 0
    previous  the SHA-256 of the stored bytes of record `number - 1`; "" where there is none or it is gone
    opening   the number of the `opened` record whose writer wrote it (its own number for `opened`, 0 for `created`)
    writer    the random id of that writer
    session   the random id of the session: the writer of its record 0
    software  what wrote it, by name and version; for people
    date      for people: ISO 8601, UTC
    body      what the kind says
    digest    the SHA-256 of the canonical form of all the other members
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from mlsession.errors import DamagedData, InternalError, NewerFormat
from mlsession.session.log.canonical import decode_spelled, parse_spelled, sha256, spell, spelling
from mlsession.session.log.layout import FORMAT, SOFTWARE, blob_digest, record_key
from mlsession.session.log.members import as_count, as_date, as_list, as_number, as_object, as_text
from mlsession.session.phase import Json

JsonObject = dict[str, Json]

MOST_BYTES = 1_000_000
"""A record is smaller than this, so that reading many of them stays cheap; of a larger file no more is read."""
MOST_NUMBER = 9_999_999_999
"""The largest number of a record: a key has ten digits."""


class Kind(StrEnum):
    CREATED = "created"
    OPENED = "opened"
    CHECKPOINT = "checkpoint"
    REMOVED = "removed"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How an opening ended, as its `closed` record says."""

    FINISHED = "finished"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Names immutable bytes: where, how many, and which."""

    key: str
    size: int
    sha256: str

    def to_json(self) -> JsonObject:
        return {"key": self.key, "size": self.size, "sha256": self.sha256}

    @staticmethod
    def from_json(value: Json) -> BlobRef:
        item = as_object(value)
        key, size, digest = as_text(item["key"]), as_count(item["size"]), as_text(item["sha256"])
        if blob_digest(key) != digest:
            raise ValueError("a blob's name is not one of the session's folder")
        return BlobRef(key=key, size=size, sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEntry:
    """What a `checkpoint` record commits; pages of the index repeat it."""

    number: int
    parent: int
    phase: str
    iteration: int
    item_count: int
    date: str
    metrics: Mapping[str, float]
    state: BlobRef
    adds: tuple[BlobRef, ...]
    """Additive output since the commit before, in order."""
    fresh: bool
    """The first commit of a run of this phase from its beginning: earlier additive output does not count."""
    ended: bool
    """The phase ended with this commit."""
    inputs: str
    """`Task.inputs` of the phase at that time."""
    run: int
    """The number of the commit that began this run of the phase; follows from the log, so records do not state it."""
    shards: tuple[BlobRef, ...] = ()
    """Of a state that several processes share what each of them has written, by rank."""

    @property
    def states(self) -> tuple[BlobRef, ...]:
        """The blobs that are its state: they come with it, and go with it."""
        return (self.state, *self.shards)

    @property
    def size_bytes(self) -> int:
        """Of all blobs that were written for it."""
        return sum(ref.size for ref in (*self.states, *self.adds))

    def to_json(self) -> JsonObject:
        shards: JsonObject = {"shards": [ref.to_json() for ref in self.shards]} if self.shards else {}
        return {
            **shards,
            "number": self.number,
            "parent": self.parent,
            "phase": self.phase,
            "iteration": self.iteration,
            "item_count": self.item_count,
            "date": self.date,
            "metrics": cast(Json, dict(self.metrics)),
            "state": self.state.to_json(),
            "adds": [ref.to_json() for ref in self.adds],
            "fresh": self.fresh,
            "ended": self.ended,
            "inputs": self.inputs,
            "run": self.run,
        }

    @staticmethod
    def from_json(value: Json) -> CheckpointEntry:
        item = as_object(value)
        return CheckpointEntry(
            number=as_count(item["number"]),
            parent=as_count(item["parent"]),
            phase=as_text(item["phase"]),
            iteration=as_count(item["iteration"]),
            item_count=as_count(item["item_count"]),
            date=as_date(item["date"]),
            metrics={name: as_number(number) for name, number in as_object(item["metrics"]).items()},
            state=BlobRef.from_json(item["state"]),
            adds=tuple(BlobRef.from_json(ref) for ref in as_list(item["adds"])),
            fresh=item["fresh"] is True,
            ended=item["ended"] is True,
            inputs=as_text(item["inputs"]),
            run=as_count(item["run"]),
            shards=tuple(BlobRef.from_json(ref) for ref in as_list(item.get("shards", []))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of the log."""

    number: int
    kind: Kind
    parent: int | None
    previous: str
    opening: int
    writer: str
    session: str
    date: str
    software: str = SOFTWARE
    index: BlobRef | None = None
    """The index that sums up everything before its `start` on this record's timeline; see `pages`."""
    body: Mapping[str, Json] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes to store. Raises `InternalError` for a record of `MOST_BYTES` or more."""
        members = as_object(spelling(self._members()))
        data = spell({**members, "digest": sha256(spell(members))})
        if len(data) >= MOST_BYTES:
            raise InternalError(
                f"the {self.kind.value} record {self.number} has {len(data):,} bytes, the most is {MOST_BYTES:,}: "
                "keep what is large in the arrays of a phase's state or in an attachment, not in metrics or settings"
            )
        return data

    def _members(self) -> JsonObject:
        return {
            "format": FORMAT,
            "number": self.number,
            "kind": self.kind.value,
            "parent": self.parent,
            "previous": self.previous,
            "opening": self.opening,
            "writer": self.writer,
            "session": self.session,
            "software": self.software,
            "date": self.date,
            "index": self.index.to_json() if self.index else None,
            "body": dict(self.body),
        }

    @staticmethod
    def decode(data: bytes, number: int) -> Record:
        """Reads a record back.

        Raises `NewerFormat` for a format after ours, and `DamagedData` for bytes that are not a record with this
        number and its own digest.
        """
        key = record_key(number)
        if len(data) >= MOST_BYTES:
            raise DamagedData(key, f"it has {MOST_BYTES:,} bytes or more, which no record has")
        # Digest and format come first, in terms that hold for every format: a newer one may spell what we cannot read.
        spelled = parse_spelled(data, key)
        if not isinstance(spelled, dict) or spelled.pop("digest", None) != sha256(spell(spelled)):
            raise DamagedData(key, "its digest does not match its content")
        version = spelled.get("format")
        if type(version) is not int or version < 1:
            raise DamagedData(key, "it has no format")
        if version > FORMAT:
            raise NewerFormat(
                f"{key} was written by {spelled.get('software', 'a newer version')} in format {version}, and this "
                f"version reads up to {FORMAT}: use the newer version (pip install --upgrade mlsession)"
            )
        try:
            record = Record._from_members(as_object(decode_spelled(spelled, key)))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedData(key, f"a member is missing or wrong ({error})") from error
        if record.number != number:
            raise DamagedData(key, f"it is record {record.number}")
        return record

    @staticmethod
    def _from_members(members: JsonObject) -> Record:
        parent = members["parent"]
        return Record(
            number=as_count(members["number"]),
            kind=Kind(as_text(members["kind"])),
            parent=None if parent is None else as_count(parent),
            previous=as_text(members["previous"]),
            opening=as_count(members["opening"]),
            writer=as_text(members["writer"]),
            session=as_text(members["session"]),
            software=as_text(members["software"]),
            date=as_date(members["date"]),
            index=None if members["index"] is None else BlobRef.from_json(members["index"]),
            body=as_object(members["body"]),
        )
