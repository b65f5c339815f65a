from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import DamagedData, InternalError
from mlsession.session.log.canonical import MAX_DEPTH, canonical_json, parse_json, parse_object, spell
from mlsession.session.phase import Json
from tests.session.log.values import values


def same(one: object, other: object) -> bool:
    """Equal in type and bits: tells -0.0 from 0.0, True from 1 and 1 from 1.0, and nan equals nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@given(values)
def test_round_trip(value: Json) -> None:
    data = canonical_json(value)
    assert same(parse_json(data, "k"), value)
    assert canonical_json(parse_json(data, "k")) == data


@given(values)
def test_is_json_that_anyone_can_read(value: Json) -> None:
    def refuse(name: str) -> object:
        raise AssertionError(f"{name} is not JSON")

    data = canonical_json(value)
    json.loads(data, parse_constant=refuse)
    assert data.isascii()


@given(st.dictionaries(st.text(alphabet="abc", max_size=3), st.integers(), max_size=6))
def test_order_of_members_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@given(values, st.data())
def test_any_other_spelling_is_damage(value: Json, data: st.DataObject) -> None:
    original = canonical_json(value)
    at = data.draw(st.integers(0, len(original) - 1))
    flipped = bytearray(original)
    flipped[at] ^= data.draw(st.integers(1, 255))
    # Flipping one byte may spell another value well, but never the same one in another way.
    try:
        found = parse_json(bytes(flipped), "k")
    except DamagedData:
        return
    assert not same(found, value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"nul",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"[NaN]",
        b"1 ",
        b"[1, 2]",
        b"1.50",
        b"1E5",
        b"01",
        b"4e-324",
        b"[1]x",
        b"\xff",
        b"\xef\xbb\xbf1",
        '"é"'.encode(),
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"$float":"nan","a":1}',
        b'{"$float":"1.5"}',
        b'{"$float":1}',
        b'{"$float":[]}',
        b'{"$float":{"$float":"nan"}}',
        b'{"$other":1}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"9" * 5_000,
        b"1e999",
        b"[" + b"1," * 100_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_hostile_bytes_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedData, match="log/x") as raised:
        parse_json(data, "log/x")
    assert raised.value.key == "log/x"


NOT_JSON: tuple[object, ...] = (
    {"$float": 1},
    {"$": 1},
    {1: 2},
    {"a": object()},
    {"a": {1, 2}},
    b"bytes",
    10**5_000,
    [10**5_000],
)


@pytest.mark.parametrize("number", range(len(NOT_JSON)))
def test_what_is_not_json_is_our_bug(number: int) -> None:
    with pytest.raises(InternalError):
        canonical_json(NOT_JSON[number])


def test_nesting_is_limited_on_both_sides() -> None:
    def nested(depth: int) -> Json:
        value: Json = 1
        for _ in range(depth):
            value = [value]
        return value

    deepest = nested(MAX_DEPTH)
    assert parse_json(canonical_json(deepest), "k") == deepest
    with pytest.raises(InternalError, match="nested"):
        canonical_json(nested(MAX_DEPTH + 1))


def test_an_object_is_demanded() -> None:
    assert parse_object(b'{"a":1}', "k") == {"a": 1}
    for data in (b"[]", b"1", b'{"$float":"nan"}'):
        with pytest.raises(DamagedData, match="k is damaged"):
            parse_object(data, "k")


@pytest.mark.parametrize("value", ["\udc80", ["\ud800"], {"\udfff": 1}])
def test_half_a_surrogate_pair_is_neither_written_nor_read(value: Json) -> None:
    with pytest.raises(InternalError):
        canonical_json(value)
    with pytest.raises(DamagedData):
        parse_json(spell(value), "k")


@pytest.mark.parametrize("data", [b'{"$float":"nan","x":1}', b'{"$float":1}', b'{"$date":"now"}'])
def test_names_with_a_dollar_mean_nothing_else(data: bytes) -> None:
    with pytest.raises(DamagedData):
        parse_json(data, "k")
