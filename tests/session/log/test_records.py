from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import DamagedData, InternalError, NewerFormat
from mlsession.session.log.canonical import canonical_json, parse_object, sha256, spell
from mlsession.session.log.records import MOST_BYTES, BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.phase import Json
from tests.session.log.test_canonical import same
from tests.session.log.values import DATE, blob, entries, records

RECORD = Record(
    number=7,
    kind=Kind.CHECKPOINT,
    parent=6,
    previous="ab",
    opening=1,
    writer="é\U0001f600",
    session="s",
    date=DATE,
    index=blob(1, 3, "index"),
    body={"iteration": 3, "loss": 5e-324, "nan": float("nan"), "big": 10**40},
)


def sealed(**members: Json) -> bytes:
    """A record whose digest is right, whatever its members are."""
    body = parse_object(RECORD.encode(), "k")
    body.pop("digest")
    content = {name: value for name, value in {**body, **members}.items() if value != "(absent)"}
    return canonical_json({**content, "digest": sha256(canonical_json(content))})


@given(records)
def test_round_trip(record: Record) -> None:
    data = record.encode()
    back = Record.decode(data, record.number)
    assert back.encode() == data
    assert same(dict(back.body), dict(record.body))
    assert replace(back, body={}) == replace(record, body={})


@given(entries)
def test_entry_round_trip(entry: CheckpointEntry) -> None:
    back = CheckpointEntry.from_json(entry.to_json())
    assert same(dict(back.metrics), dict(entry.metrics))
    assert replace(back, metrics={}) == replace(entry, metrics={})


def test_every_single_flipped_byte_is_damage() -> None:
    data = RECORD.encode()
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            with pytest.raises(DamagedData):
                Record.decode(bytes(flipped), RECORD.number)


@settings(max_examples=50)
@given(records, st.data())
def test_any_flipped_or_lost_byte_is_damage(record: Record, data: st.DataObject) -> None:
    encoded = record.encode()
    at = data.draw(st.integers(0, len(encoded) - 1))
    flipped = bytearray(encoded)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), encoded[:at], encoded[:at] + encoded[at + 1 :], encoded + b" "):
        with pytest.raises(DamagedData):
            Record.decode(damaged, record.number)


def test_a_record_under_another_number_is_damage() -> None:
    with pytest.raises(DamagedData, match="it is record 7"):
        Record.decode(RECORD.encode(), 8)


@pytest.mark.parametrize("version", [2, 1000])
def test_a_newer_format_says_who_wrote_it_and_what_to_do(version: Json) -> None:
    with pytest.raises(NewerFormat, match=r"by other 9\.1 in format .*pip install --upgrade mlsession"):
        Record.decode(sealed(format=version, software="other 9.1"), 7)


@pytest.mark.parametrize("version", [0, -1, "2", None, 1.5, True, "(absent)"])
def test_what_is_no_format_is_damage(version: Json) -> None:
    with pytest.raises(DamagedData, match="no format"):
        Record.decode(sealed(format=version), 7)


def test_a_newer_format_may_spell_what_this_one_cannot_read() -> None:
    members = json.loads(sealed(format=2))
    members.pop("digest")
    members["body"] = {"$date": "2031-01-01", "$float": ["exotic"]}
    data = spell({**members, "digest": sha256(spell(members))})
    with pytest.raises(NewerFormat):
        Record.decode(data, 7)
    members["format"] = 1
    with pytest.raises(DamagedData):
        Record.decode(spell({**members, "digest": sha256(spell(members))}), 7)


def test_a_newer_format_may_have_any_members() -> None:
    with pytest.raises(NewerFormat):
        Record.decode(sealed(format=2, kind="shiny", body="(absent)", more=[1]), 7)


@pytest.mark.parametrize(
    "members",
    [
        {"number": "7"},
        {"number": True},
        {"kind": "other"},
        {"kind": 1},
        {"parent": "6"},
        {"parent": "(absent)"},
        {"previous": 1},
        {"opening": 1.0},
        {"writer": None},
        {"date": "yesterday"},
        {"date": "2026-01-01T00:00:00"},
        {"index": {}},
        {"index": "blobs/x"},
        {"body": []},
        {"body": "(absent)"},
    ],
)
def test_wrong_members_are_damage(members: dict[str, Json]) -> None:
    with pytest.raises(DamagedData, match=r"log/0000000007\.json is damaged"):
        Record.decode(sealed(**members), 7)


@pytest.mark.parametrize(
    "key",
    [
        "blobs/../secret",
        "../blobs/0000000001/0000000002-{digest}",
        "/blobs/0000000001/0000000002-{digest}",
        "blobs/0000000001/../../x-{digest}",
        "blobs\\0000000001\\0000000002-{digest}",
        "blobs/..\\..\\x-{digest}",
        "blobs/1/2-{digest}",
        "log/0000000000.json",
        "s3://other/blobs/0000000001/0000000002-{digest}",
        "blobs/0000000001/0000000002-" + "0" * 64,
        "blobs/0000000001/0000000002-{digest}/x",
        "blobs/0000000001/0000000002-{digest}\n",
        "",
    ],
)
def test_blob_names_that_leave_the_folder_are_refused(key: str) -> None:
    digest = sha256(b"content")
    with pytest.raises(ValueError, match="folder"):
        BlobRef.from_json({"key": key.format(digest=digest), "size": 7, "sha256": digest})
    with pytest.raises(DamagedData):
        Record.decode(sealed(index={"key": key.format(digest=digest), "size": 7, "sha256": digest}), 7)


def test_a_blob_has_a_size() -> None:
    good = blob(1, 2, "content").to_json()
    assert BlobRef.from_json(good) == blob(1, 2, "content")
    for size in (-1, 1.5, "7", True, None):
        with pytest.raises(ValueError, match=r"folder|whole number"):
            BlobRef.from_json({**good, "size": size})


def test_a_metric_that_no_float_holds_is_damage() -> None:
    entry = CheckpointEntry.from_json({**_entry().to_json(), "metrics": {"loss": 1}})
    assert entry.metrics == {"loss": 1.0}
    for wrong in (10**400, True, "1", None):
        with pytest.raises(ValueError, match="number"):
            CheckpointEntry.from_json({**_entry().to_json(), "metrics": {"loss": wrong}})


def test_records_stay_below_their_limit() -> None:
    almost = replace(RECORD, body={"text": "x" * (MOST_BYTES - 2_000)})
    assert len(almost.encode()) < MOST_BYTES
    with pytest.raises(InternalError, match=r"checkpoint record 7 has 1,\d+,\d+ bytes.*not in metrics or settings"):
        replace(RECORD, body={"text": "x" * MOST_BYTES}).encode()


def _entry() -> CheckpointEntry:
    return CheckpointEntry(
        number=2,
        parent=1,
        phase="training",
        iteration=1,
        item_count=1,
        date=DATE,
        metrics={},
        state=blob(1, 2, "state"),
        adds=(),
        fresh=True,
        ended=False,
        inputs="",
        run=2,
    )
