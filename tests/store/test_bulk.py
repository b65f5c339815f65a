"""Several keys in one go, where the store cannot, where it fails in between, and read ahead of need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mlsession.errors import KeyMissing, StoreUnavailable
from mlsession.store import LocalStore, MemoryStore
from mlsession.store.buckets.s3 import delete_objects, page_after
from mlsession.store.bulk import PAGE, ReadAhead, delete_some, get_many, list_between, list_page
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.clock import FakeClock
from tests.session.stores import CountingStore, HookedStore


def filled(count: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(count):
        store.put(f"log/{number:05}", b"%05d" % number)
    return store


def test_a_store_that_can_do_one_thing_at_a_time_does_them_in_turn() -> None:
    store = CountingStore(filled(4))
    assert get_many(store, {"log/00001": 3, "log/9": 3, "log/00003": 9}) == {"log/00001": b"000", "log/00003": b"00003"}
    assert list_page(store, "log", "", 2) is None
    assert [entry.key for entry in list_between(store, "log", "log/00000", "log/00002")] == ["log/00001", "log/00002"]
    assert delete_some(store, ["log/00001", "log/00002"]) == 1
    assert store.calls == {"get": 3, "list": 1, "delete": 1}
    assert store.deleted == ["log/00001"]


def test_a_part_of_a_long_listing_takes_as_many_pages_as_it_needs() -> None:
    store = filled(2 * PAGE + 5)
    keys = [f"log/{number:05}" for number in range(2 * PAGE + 5)]
    for first, last in ((0, 3), (5, PAGE + 2), (PAGE - 1, 2 * PAGE + 4), (7, 7), (2 * PAGE + 4, 2 * PAGE + 4)):
        found = list_between(store, "log", keys[first], keys[last])
        assert [entry.key for entry in found] == keys[first + 1 : last + 1]


def test_what_fails_in_between_is_asked_for_again() -> None:
    failures = ["log/00002", "log/00001"]

    def fail(operation: str, key: str) -> None:
        if failures and key == failures[0]:
            raise StoreUnavailable("down", failures.pop(0))

    retries: list[str] = []
    store = RetryingStore(
        HookedStore(filled(4), fail), FakeClock(), Backoff(), lambda operation, *about: retries.append(operation)
    )
    assert get_many(store, {"log/00000": 9, "log/00002": 9}) == {"log/00000": b"00000", "log/00002": b"00002"}
    assert delete_some(store, ["log/00001"]) == 1
    assert list_page(store, "log", "", 1) is None
    assert retries == ["get log/00000", "delete log/00001"]


def test_what_is_read_ahead_is_asked_for_once() -> None:
    store = CountingStore(filled(9))
    ahead = ReadAhead(store)
    ahead.fetch({"log/00001": 9, "log/00002": 2, "log/none": 9})
    assert store.calls == {"get": 3}
    assert (ahead.get_range("log/00001", 1, 4), ahead.get_range("log/00002", 0, 2)) == (b"000", b"00")
    assert [ahead.holds(key) for key in ("log/00001", "log/none", "log/00003")] == [True, True, False]
    with pytest.raises(KeyMissing) as caught:
        ahead.get_range("log/none", 0, 1)
    assert caught.value.key == "log/none"
    ahead.fetch({"log/00001": 5, "log/none": 9})
    assert store.calls == {"get": 3}
    # More of a value than was asked for, and what nobody has asked for.
    assert (ahead.get_range("log/00002", 0, 5), ahead.get_range("log/00003", 3, 5)) == (b"00002", b"03")
    assert store.calls == {"get": 5}


def test_local_deletions_leave_what_is_not_there_alone(tmp_path: Any) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")
    store.put("c", b"1")
    assert delete_some(store, ["a/b", "a/none", "a/b/below", "none/x"]) == 4
    assert [entry.key for entry in store.list()] == ["c"]


class Odd:
    """A service with a reply of its own to the requests of S3."""

    def __init__(self, reply: Mapping[str, object] | Exception) -> None:
        self._reply = reply

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, method: str, **options: object) -> Mapping[str, object]:
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


def contents(*keys: str) -> dict[str, object]:
    return {"Contents": [{"Key": key, "Size": 1, "ETag": "x"} for key in keys], "IsTruncated": False}


@pytest.mark.parametrize(
    "reply",
    [
        contents("s/log/2", "s/log/1"),
        contents("s/log/1", "s/log/2"),
        contents("s/log/3", "s/log/2"),
        OSError(22, "StartAfter is not supported"),
        FileNotFoundError("bucket"),
    ],
    ids=["unordered", "from the beginning", "backwards", "refused", "missing"],
)
def test_a_page_in_another_order_than_that_of_s3_is_none(reply: Mapping[str, object] | Exception) -> None:
    assert page_after(Odd(reply), "bucket/s/log", "bucket/s/log/1", 9) is None


def test_a_page_says_whether_it_is_the_last() -> None:
    page = page_after(Odd({**contents("s/log/2", "s/log/3"), "IsTruncated": True}), "bucket/s/log", "bucket/s/log/1", 2)
    assert page is not None
    assert (list(page.infos), page.last, page.is_last) == (
        ["bucket/s/log/2", "bucket/s/log/3"],
        "bucket/s/log/3",
        False,
    )
    with pytest.raises(TimeoutError):
        page_after(Odd(TimeoutError()), "bucket/s/log", "", 2)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [({}, True), ({"Errors": [{"Key": "a"}]}, False), (OSError(22, "NotImplemented"), False)],
    ids=["done", "one failed", "unknown"],
)
def test_deletions_are_done_only_if_all_are(reply: Mapping[str, object] | Exception, expected: bool) -> None:
    assert delete_objects(Odd(reply), ["bucket/a", "bucket/b"]) is expected
