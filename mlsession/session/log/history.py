"""The whole log, record by record: what only a look at all of it can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.errors import DamagedData
from mlsession.session.log.blobs import as_written
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_key
from mlsession.session.log.members import as_object
from mlsession.session.log.records import MOST_BYTES, BlobRef, Kind, Record
from mlsession.store.bulk import get_many
from mlsession.store.protocol import Store

_AT_ONCE = 64
"""Records that are asked for together: at most 64 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What all records of a log say together."""

    count: int
    """Records that are there, damaged ones among them."""
    damaged: Mapping[int, DamagedData]
    """By number."""
    openings: Mapping[int, int]
    """By the number of each whole record the opening that wrote it."""
    inputs: Mapping[int, tuple[BlobRef, ...]]
    """By opening the inputs that it brought."""


def read_history(store: Store, end: int) -> History:
    """Reads all records up to `end`. Raises `NewerFormat` and `StoreError`."""
    numbers = Journal(store).numbers(0, end)
    damaged: dict[int, DamagedData] = {}
    openings: dict[int, int] = {}
    inputs: dict[int, tuple[BlobRef, ...]] = {}
    previous, last = "", -1
    for start in range(0, len(numbers), _AT_ONCE):
        chunk = numbers[start : start + _AT_ONCE]
        stored = get_many(store, dict.fromkeys(map(record_key, chunk), MOST_BYTES))
        for number in chunk:
            data = stored.get(record_key(number))
            if data is None:  # Deleted since it was listed.
                damaged[number] = DamagedData(record_key(number), "it is missing")
                previous, last = "", number
                continue
            try:
                record = Record.decode(data, number)
                if record.kind is Kind.OPENED:
                    inputs[number] = _inputs(record)
            except DamagedData as damage:
                damaged[number] = damage
            else:
                openings[number] = record.opening
                if last == number - 1 == record.parent and record.previous != previous:
                    reason = "it is not the record that the next one was written after"
                    damaged.setdefault(last, DamagedData(record_key(last), reason))
            previous, last = sha256(data), number
    return History(count=len(numbers), damaged=damaged, openings=openings, inputs=inputs)


def _inputs(opened: Record) -> tuple[BlobRef, ...]:
    with as_written(record_key(opened.number)):
        return tuple(BlobRef.from_json(ref) for ref in as_object(opened.body.get("attachments") or {}).values())
