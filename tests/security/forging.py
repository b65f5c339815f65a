"""Sessions that somebody else wrote: whatever they say, every digest and every hash is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlsession.session.log.canonical import sha256, spell
from mlsession.session.log.layout import blob_key, record_key, record_number
from mlsession.session.phase import Json
from mlsession.store.protocol import Store

Members = dict[str, Any]
"""A record as it is spelled, without its digest."""


def sealed(members: Mapping[str, Json]) -> bytes:
    """The stored bytes of a record with these members."""
    content = {name: value for name, value in members.items() if name != "digest"}
    return spell({**content, "digest": sha256(spell(content))})


def record(store: Store, number: int) -> Members:
    """The members of a record."""
    members: Members = json.loads(store.get(record_key(number)))
    return members


def numbers(store: Store) -> list[int]:
    """The numbers of all records, ascending."""
    found = (record_number(entry.key) for entry in store.list("log"))
    return sorted(number for number in found if number is not None)


def forge(store: Store, change: Callable[[Members], None]) -> None:
    """Writes the log anew, each record after `change` has had it."""
    previous = ""
    for number in numbers(store):
        members = record(store, number)
        members["previous"] = previous
        change(members)
        data = sealed(members)
        store.put(record_key(number), data)
        previous = sha256(data)


def forge_one(store: Store, number: int, change: Callable[[Members], None]) -> None:
    """The same for one record."""
    forge(store, lambda members: change(members) if members["number"] == number else None)


def forge_blob(store: Store, opening: int, number: int, data: bytes) -> dict[str, Json]:
    """Stores bytes under their hash; the name to put into a record."""
    digest = sha256(data)
    key = blob_key(opening, number, digest)
    store.put(key, data)
    return {"key": key, "sha256": digest, "size": len(data)}


def append(store: Store, **changes: Json) -> int:
    """One more record, like the last one but for `changes`; its number."""
    last = numbers(store)[-1]
    members = record(store, last)
    previous = sha256(store.get(record_key(last)))
    number = last + 1
    following: dict[str, Json] = {**members, "number": number, "parent": last, "previous": previous, **changes}
    store.put(record_key(number), sealed(following))
    return number
