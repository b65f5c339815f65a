"""Listings of a bucket that are read a page at a time, against the whole one that fsspec gives; several values sent at
once, and given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from fsspec.asyn import AsyncFileSystem, sync

from mlsession.errors import StoreDenied, StoreError, StoreUnavailable
from mlsession.store import open_store
from mlsession.store.objects import ObjectStore
from mlsession.store.remote import FsspecStore
from mlsession.store.s3 import Page, page_after
from tests.servers.s3 import S3Server

KEYS = ("a", "folder/1", "folder/2", "folder/below/3", "folder/below/4", "folder-5", "über/6", "z")


@pytest.fixture(scope="module")
def whole_bucket(s3_server: S3Server) -> Iterator[ObjectStore]:
    """Of eight keys."""
    with closing(open_store(s3_server.new_bucket_url(), s3_server.storage_options)) as store:
        assert isinstance(store, ObjectStore)
        store.put_many({key: key.encode() for key in KEYS})
        yield store


@pytest.fixture
def bucket(whole_bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A page has three."""
    monkeypatch.setattr("mlsession.store.objects.PAGE", 3)
    return whole_bucket


def test_no_more_than_a_page_is_asked_for_ahead(bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def page(filesystem: object, folder: str, after: str, count: int) -> Page | None:
        asked.append(after.partition("/")[2])
        return page_after(filesystem, folder, after, count)

    monkeypatch.setattr("mlsession.store.objects.page_after", page)
    listing = bucket.list()
    assert [next(listing).key for _ in range(3)] == ["a", "folder-5", "folder/1"]
    assert asked == [""]
    assert [entry.key for entry in listing] == ["folder/2", "folder/below/3", "folder/below/4", "z", "über/6"]
    assert asked == ["", "folder/1", "folder/below/4"]


@pytest.mark.parametrize("prefix", ["", "folder", "folder/", "folder/below", "fold", "none"])
def test_it_is_what_fsspec_lists(bucket: ObjectStore, prefix: str) -> None:
    whole = sorted(FsspecStore.list(bucket, prefix), key=lambda entry: entry.key)
    assert sorted(bucket.list(prefix), key=lambda entry: entry.key) == whole
    assert len(whole) == {"": 8, "fold": 0, "none": 0, "folder/below": 2}.get(prefix, 4)


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_service_that_lists_in_no_order_lists_all(
    bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    left = [page_after] * pages

    def page(filesystem: object, folder: str, after: str, count: int) -> Page | None:
        return left.pop()(filesystem, folder, after, count) if left else None

    monkeypatch.setattr("mlsession.store.objects.page_after", page)
    assert sorted(entry.key for entry in bucket.list()) == sorted(KEYS)


def test_a_page_without_keys_that_is_not_the_last_ends_no_listing() -> None:
    """Where to go on after it nobody knows, so all is listed as fsspec does it."""

    class Gateway:
        def split_path(self, path: str) -> tuple[str, str, None]:
            bucket, _, key = path.partition("/")
            return bucket, key, None

        def call_s3(self, method: str, **options: object) -> dict[str, object]:
            return {"IsTruncated": True, "KeyCount": 0, "NextContinuationToken": "more"}

    assert page_after(Gateway(), "bucket/folder", "", 1000) is None


class Silent(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types.
    """Gives no answer to what is sent, or to one key a refusal."""

    protocol = "s3"

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.under_way: list[str] = []

    async def _pipe_file(self, path: str, data: bytes) -> None:
        self.under_way.append(path)
        try:
            if path.endswith("refused"):
                raise PermissionError(path)
            await asyncio.sleep(3600)
        finally:
            self.under_way.remove(path)


@pytest.mark.parametrize(("second", "kind"), [("b", StoreUnavailable), ("refused", StoreDenied)])
def test_what_is_given_up_is_not_left_under_way(second: str, kind: type[StoreError]) -> None:
    """With its bytes, which would be sent again and again while a store is away."""
    silent = Silent(skip_instance_cache=True)
    store = ObjectStore(silent, "bucket/k", scheme="s3", url="s3://bucket/k", scrub=str, patience_seconds=0.1)
    with closing(store), pytest.raises(kind):
        store.put_many({"a": b"x", second: b"y"})
    for _ in range(3):
        sync(silent.loop, asyncio.sleep, 0)  # A turn of the loop.
    assert silent.under_way == []
