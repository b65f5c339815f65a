from __future__ import annotations

import math
from typing import Any, cast

import pytest

from mlsession.errors import DamagedData, IncompatibleParameters
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.log.records import JsonObject, Kind, Record
from tests.session.log.values import DATE, blob

IDENTITY = Identity(
    task="test",
    parameters={"seed": 0, "odd": math.inf},
    attachments={"index": blob(0, 0, "index")},
    numerics={"threads": 2},
    exclusive=False,
)


def record(body: JsonObject) -> Record:
    return Record(
        number=0, kind=Kind.CREATED, parent=None, previous="", opening=0, writer="w", session="s", date=DATE, body=body
    )


def test_round_trip_through_a_record() -> None:
    stored = Record.decode(record({"identity": IDENTITY.to_json()}).encode(), 0)
    assert Identity.from_record(stored) == IDENTITY


@pytest.mark.parametrize(
    "change",
    [
        {"task": None},
        {"parameters": [1]},
        {"parameters": None},
        {"attachments": {"index": {"key": "../x", "size": 1, "sha256": "0" * 64}}},
        {"attachments": 1},
        {"numerics": 1},
        {"exclusive": None},
    ],
)
def test_what_does_not_say_what_it_is_is_damage(change: JsonObject) -> None:
    body = {**IDENTITY.to_json(), **change}
    without: JsonObject = {name: value for name, value in body.items() if value is not None}
    with pytest.raises(DamagedData, match=r"log/0000000000\.json is damaged"):
        Identity.from_record(record({"identity": without}))
    with pytest.raises(DamagedData):
        Identity.from_record(record({}))


@pytest.mark.parametrize(
    ("original", "new"),
    [
        ({}, {}),
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [1, 2]}, {"a": (1, 2)}),
        ({"a": math.nan}, {"a": math.nan}),
        ({"a": [math.nan]}, {"a": [math.nan]}),
        ({"a": None}, {}),
        ({}, {"a": None}),
        ({"a": {"b": None}}, {"a": {}}),
    ],
)
def test_the_same_parameters_are_compatible(original: Any, new: Any) -> None:
    check_compatible(original, new, "cure")


@pytest.mark.parametrize(
    ("original", "new", "name", "before", "after"),
    [
        ({"a": 1}, {"a": 2}, "a", 1, 2),
        ({"a": 1}, {}, "a", 1, None),
        ({}, {"a": 1}, "a", None, 1),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, "a", 1, 2),
        ({"a": {"b": {"c": 1, "d": 1}}}, {"a": {"b": {"c": 1, "d": 2}}}, "a.b.d", 1, 2),
        ({"a": {"b": 1}}, {"a": 1}, "a", {"b": 1}, 1),
        ({"a": {"b": 1}, "z": 1}, {"a": {"b": 1}, "z": 2}, "z", 1, 2),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a", [1, 2], [2, 1]),
        ({"a": "1"}, {"a": 1}, "a", "1", 1),
        ({"a": math.nan}, {"a": 0.0}, "a", math.nan, 0.0),
    ],
)
def test_the_first_difference_is_named(original: Any, new: Any, name: str, before: object, after: object) -> None:
    with pytest.raises(IncompatibleParameters, match="go back") as raised:
        check_compatible(original, new, "go back to the old value")
    assert raised.value.parameter == name
    assert repr((raised.value.original, raised.value.new)) == repr((before, after))
    message = str(raised.value)
    assert message == f"{name} was {before!r} when this session was made and is {after!r} now; go back to the old value"


def test_attachments_are_blobs() -> None:
    body = cast(Any, IDENTITY.to_json())
    assert body["attachments"]["index"]["key"].startswith("blobs/0000000000/0000000000-")
