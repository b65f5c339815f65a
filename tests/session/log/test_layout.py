from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.session.log.layout import (
    blob_digest,
    blob_key,
    heartbeat_key,
    is_ours,
    record_key,
    record_number,
    record_of,
    stop_key,
)
from mlsession.store.keys import check_own_key
from tests.session.log.values import numbers

digests = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)


@given(numbers, numbers, digests)
def test_names_give_back_what_they_were_made_of(opening: int, number: int, digest: str) -> None:
    assert record_number(record_key(number)) == number
    assert record_of(record_key(number)) == number
    blob = blob_key(opening, number, digest)
    assert record_of(blob) == number
    assert blob_digest(blob) == digest
    assert record_number(blob) is None
    for key in (record_key(number), blob, heartbeat_key(opening), stop_key(opening)):
        assert is_ours(key)
        check_own_key(key)


def test_names_sort_as_their_numbers() -> None:
    assert sorted([record_key(10), record_key(9), record_key(100)]) == [record_key(9), record_key(10), record_key(100)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a.txt",
        "log",
        "log/1.json",
        "log/00000000001.json",
        "log/0000000001.json.bak",
        "log/x/0000000001.json",
        "logs/0000000001.json",
        "log/" + 10 * "\u0660" + ".json",
        "blobs/1/x",
        "blobs/0000000001",
        "status.json.txt",
        "heartbeat",
        "x/status.json",
    ],
)
def test_foreign_keys(key: str) -> None:
    assert not is_ours(key)
    assert record_number(key) is None
    assert record_of(key) is None


@pytest.mark.parametrize("key", ["heartbeat/0000000001", "control/0000000001/stop", "status.json", "probe/x"])
def test_best_effort_keys_are_ours_and_no_records(key: str) -> None:
    assert is_ours(key)
    assert record_of(key) is None
    assert blob_digest(key) is None
