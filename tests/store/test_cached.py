"""`simplecache::` and `filecache::` before a real S3 server: what was read once stays, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter, KeyMissing, StoreError, StoreUnavailable
from mlsession.store import FsspecStore, open_store
from mlsession.store.cached import CachedStore
from mlsession.store.sharing import shares_reads
from tests.servers.s3 import S3Server
from tests.servers.wayward import Way, wayward

DATA = bytes(range(256)) * 400
KEYS = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/empty.jpg")


@pytest.fixture
def way(s3_server: S3Server) -> Iterator[Way]:
    with wayward(s3_server.endpoint_url) as way:
        yield way


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    url = s3_server.new_bucket_url()
    with closing(open_store(f"{url}/photos", s3_server.storage_options)) as store:
        for key in KEYS:
            store.put(key, b"" if "empty" in key else key.encode() + DATA)
    return f"{url}/photos"


class Reach:
    """How to get to the bucket through a cache in a folder."""

    def __init__(self, way: Way, s3: S3Server, folder: Path) -> None:
        behind = {**s3.storage_options, "endpoint_url": way.endpoint_url}
        self.options: dict[str, Any] = {"cache_storage": str(folder), "s3": behind}
        self.folder = folder
        self.way = way

    def open(self, scheme: str, url: str, **options: Any) -> FsspecStore:
        store = open_store(f"{scheme}::{url}", {**self.options, **options})
        assert isinstance(store, FsspecStore)
        return store

    @property
    def reads(self) -> list[str]:
        """The pictures that the server was asked for."""
        return [path for path in self.way.asked if path.endswith(".jpg")]

    @property
    def sizes(self) -> list[int]:
        """Of the pictures in the cache."""
        return sorted(path.stat().st_size for path in self.folder.iterdir() if path.name != "cache")


@pytest.fixture
def reach(way: Way, s3_server: S3Server, tmp_path: Path) -> Reach:
    return Reach(way, s3_server, tmp_path / "cache")


@pytest.mark.parametrize("scheme", ["simplecache", "filecache"])
class TestBoth:
    def test_each_picture_is_asked_for_once(self, scheme: str, bucket: str, reach: Reach) -> None:
        for _ in range(2):
            with closing(reach.open(scheme, bucket)) as store:
                assert sorted((entry.key, entry.size) for entry in store.list()) == [
                    (key, 0 if "empty" in key else len(DATA) + 9) for key in KEYS
                ]
                for _ in range(2):
                    for key in KEYS:
                        assert store.get(key) == (b"" if "empty" in key else key.encode() + DATA)
                assert store.get_range("cat/1.jpg", 2, 11) == b"t/1.jpg" + DATA[:2]
                with pytest.raises(KeyMissing):
                    store.get("cat/none.jpg")
        pictures = [path for path in reach.reads if not path.endswith(("none.jpg", "empty.jpg"))]
        assert len(pictures) == len(set(pictures)) == 3
        assert reach.sizes == [0, *[len(DATA) + 9] * 3]

    def test_a_part_of_a_picture_is_never_taken_for_all_of_it(self, scheme: str, bucket: str, reach: Reach) -> None:
        """As often as s3fs tries by itself, and once more."""
        with closing(reach.open(scheme, bucket)) as store:
            reach.way.cut["/cat/1.jpg"] = 99
            store._open.fs.retries = 1
            with pytest.raises(StoreUnavailable):
                store.get("cat/1.jpg")
            assert reach.sizes == []
            reach.way.cut.clear()
            assert store.get("cat/1.jpg") == b"cat/1.jpg" + DATA
        with closing(reach.open(scheme, bucket)) as store:
            assert store.get("cat/1.jpg") == b"cat/1.jpg" + DATA

    def test_pictures_that_would_be_mixed_up_are_refused(self, scheme: str, bucket: str, reach: Reach) -> None:
        with pytest.raises(InvalidParameter, match=f"{scheme!r}.* leave same_names and cache_mapper out"):
            reach.open(scheme, bucket, same_names=True)

    def test_a_source(self, scheme: str, bucket: str, reach: Reach) -> None:
        source = DataSource.labeled_directories(f"{scheme}::{bucket}", reach.options)
        assert source.index().classes == ("cat", "dog")
        assert repr(source) == f"DataSource.labeled_directories('{scheme}::{bucket}')"

    def test_a_cache_that_cannot_be_written_is_said(self, scheme: str, bucket: str, reach: Reach) -> None:
        with closing(reach.open(scheme, bucket)) as store:
            reach.folder.rmdir()
            reach.folder.write_bytes(b"a file in the place of the folder")
            with pytest.raises(StoreError, match=str(reach.folder)):
                store.get("cat/1.jpg")


def test_only_a_simple_cache_serves_several_threads(bucket: str, reach: Reach) -> None:
    for scheme, expected in (("simplecache", True), ("filecache", False)):
        with closing(reach.open(scheme, bucket)) as store:
            assert shares_reads(store) is expected
            assert isinstance(store, CachedStore)
            assert store.get_while("cat/1.jpg", lambda reply: reply.result(60)) == b"cat/1.jpg" + DATA
    assert not shares_reads(open_store("simplecache::memory://photos", {"cache_storage": str(reach.folder)}))


def test_file_caches_notice_changes_if_asked_to(bucket: str, reach: Reach, s3_server: S3Server) -> None:
    stores = {check: reach.open("filecache", bucket, check_files=check) for check in (True, False)}
    before = {check: store.get("cat/1.jpg") for check, store in stores.items()}
    with closing(open_store(bucket, s3_server.storage_options)) as behind:
        behind.put("cat/1.jpg", b"new")
    assert before[True] == before[False]
    assert stores[False].get("cat/1.jpg") == before[False]
    assert stores[True].get("cat/1.jpg") == b"new"
    for store in stores.values():
        store.close()
