"""Tar archives as stores: what is in them, what is refused, and that reading is no slower for there being more."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlsession.clock import SystemClock
from mlsession.errors import InvalidParameter, KeyMissing, StoreDenied, StoreError
from mlsession.store import LocalStore, open_store
from mlsession.store.sharing import shares_reads
from mlsession.store.tar import TarStore
from mlsession.store.timely import timely_opener
from tests.servers.s3 import S3Server


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **about: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in about.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "./cat", type=tarfile.DIRTYPE)
        add(archive, "./cat/1.jpg", b"one", mtime=5)
        add(archive, "cat//é 猫.jpg", b"two")
        add(archive, f"cat/{'long' * 60}.jpg", b"three")
        add(archive, "dog/1.jpg", b"old")
        add(archive, "dog/1.jpg", b"four", mtime=6)
        add(archive, "dog/hard.jpg", type=tarfile.LNKTYPE, linkname="./cat/1.jpg")
        add(archive, "dog/soft.jpg", type=tarfile.SYMTYPE, linkname="../cat/1.jpg")
        add(archive, "dog/over.jpg", type=tarfile.SYMTYPE, linkname="soft.jpg")
        add(archive, "dog/round.jpg", type=tarfile.SYMTYPE, linkname="round.jpg")
        add(archive, "dog/gone.jpg", type=tarfile.SYMTYPE, linkname="nowhere.jpg")
        add(archive, "../out.jpg", b"out")
        add(archive, "/etc/root.jpg", b"root")
        add(archive, "pipe", type=tarfile.FIFOTYPE)
        add(archive, "empty")
    return path


def contents(url: str, **options: object) -> dict[str, bytes]:
    with closing(open_store(url, options)) as store:
        sizes = {entry.key: entry.size for entry in store.list()}
        found = {key: store.get(key) for key in sizes}
        assert {key: len(data) for key, data in found.items()} == sizes
        return found


def test_what_is_in_an_archive(photos: Path) -> None:
    assert contents(f"tar://::{photos}") == {
        "cat/1.jpg": b"one",
        "cat/é 猫.jpg": b"two",
        f"cat/{'long' * 60}.jpg": b"three",
        "dog/1.jpg": b"four",
        "dog/hard.jpg": b"one",
        "dog/soft.jpg": b"one",
        "dog/over.jpg": b"one",
        "etc/root.jpg": b"root",
        "empty": b"",
    }
    assert contents(f"tar://dog::file://{photos}") == {
        **dict.fromkeys(("hard.jpg", "soft.jpg", "over.jpg"), b"one"),
        "1.jpg": b"four",
    }
    with closing(open_store(f"tar://::{photos}")) as store:
        assert [entry.key for entry in store.list("etc")] == ["etc/root.jpg"]
        assert list(store.list("et")) == []
        assert store.get_range("dog/1.jpg", 1, 9) == b"our"
        assert store.get_range("dog/1.jpg", 7, 9) == b""
        assert store.url == f"tar://::{photos}"


def test_what_cannot_be_done(photos: Path) -> None:
    with closing(open_store(f"tar://::{photos}")) as store:
        with pytest.raises(KeyMissing):
            store.get("cat/2.jpg")
        with pytest.raises(InvalidParameter):
            store.get("../out.jpg")
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StoreDenied, match="an archive is only read; choose a folder"):
                write("x", b"")
        with pytest.raises(StoreDenied):
            store.delete("cat/1.jpg")
    with pytest.raises(StoreError, match="this store was closed"):
        store.get("cat/1.jpg")
    with pytest.raises(InvalidParameter, match="names no archive"):
        open_store("tar://photos")


def test_another_member_has_another_version(photos: Path, tmp_path: Path) -> None:
    def versions(path: Path) -> dict[str, str]:
        with closing(open_store(f"tar://::{path}")) as store:
            return {entry.key: entry.version for entry in store.list()}

    again = tmp_path / "again.tar"
    with tarfile.open(again, "w") as archive:
        add(archive, "./cat/1.jpg", b"one", mtime=5)
        add(archive, "dog/1.jpg", b"five", mtime=7)
    assert versions(again)["cat/1.jpg"] == versions(photos)["cat/1.jpg"]
    assert versions(again)["dog/1.jpg"] != versions(photos)["dog/1.jpg"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: gzip.compress(data), "is compressed, .*; unpack it with gunzip"),
        (lambda data: b"\x89PNG" + data, "this is no whole tar archive"),
        (lambda data: b"", "this is no whole tar archive"),
        (lambda data: data[: data.index(b"three") + 2], "this is no whole tar archive"),
        (lambda data: data.replace(b"dog/1.jpg\0", b"dog/2.jpg\0", 1), "at byte [0-9,]+ there is no header"),
    ],
)
def test_what_is_no_whole_archive(damage: Callable[[bytes], bytes], reason: str, photos: Path) -> None:
    photos.write_bytes(damage(photos.read_bytes()))
    with closing(open_store(f"tar://::{photos}")) as store, pytest.raises(StoreError, match=reason):
        list(store.list())
    photos.unlink()
    with closing(open_store(f"tar://::{photos}")) as store, pytest.raises(KeyMissing):
        list(store.list())


class Counting(LocalStore):
    """A folder that counts what is read of it."""

    def __init__(self, root: str, read: list[int]) -> None:
        super().__init__(root)
        self._read_sizes = read

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        data = super().get_range(key, start, stop)
        self._read_sizes.append(len(data))
        return data


def test_reading_is_in_proportion_to_the_number_of_members(tmp_path: Path) -> None:
    """Requests and bytes for n members, by counting: no clock."""

    def cost(count: int) -> tuple[int, int]:
        with tarfile.open(tmp_path / f"{count}.tar", "w") as archive:
            for row in range(count):
                add(archive, f"{row}.jpg", bytes(20_000))
        read: list[int] = []
        with closing(TarStore("x", "", f"{count}.tar", lambda: Counting(str(tmp_path), read))) as store:
            for row in range(count):
                assert len(store.get(f"{row}.jpg")) == 20_000
        return len(read), sum(read)

    few, many = cost(50), cost(200)
    assert many[0] <= 4 * few[0] + 8
    assert many[1] <= 4 * few[1] + 2**16
    assert many[1] <= 3 * 200 * 20_000


def test_threads_share_one_list_of_members(photos: Path) -> None:
    opened: list[str] = []

    class Slow(LocalStore):
        def get_range(self, key: str, start: int, stop: int) -> bytes:
            if start == 0 and stop == 6:
                opened.append(key)
            return super().get_range(key, start, stop)

    found: list[bytes] = []
    with closing(TarStore("x", "", photos.name, lambda: Slow(str(photos.parent)))) as store:
        threads = [threading.Thread(target=lambda: found.append(store.get("cat/1.jpg"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [b"one"] * 8
    assert opened == [photos.name]


def test_an_archive_in_a_bucket_and_behind_a_cache(photos: Path, s3_server: S3Server, tmp_path: Path) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    with closing(open_store(bucket, options)) as store:
        store.put("all/photos.tar", photos.read_bytes())
    expected = contents(f"tar://dog::{photos}")
    assert contents(f"tar://dog::{bucket}/all/photos.tar", s3=options) == expected
    cached = f"simplecache::{bucket}/all/photos.tar"
    kept = {"cache_storage": str(tmp_path / "kept")}
    assert contents(f"tar://dog::{cached}", simplecache=kept, s3=options) == expected
    assert any((tmp_path / "kept").iterdir())


def test_reading_in_time_takes_one_handle_and_one_look_at_the_headers(photos: Path) -> None:
    opened: list[str] = []
    read: list[int] = []

    def open_folder() -> LocalStore:
        opened.append(photos.name)
        return Counting(str(photos.parent), read)

    url = "tar://::s3://bucket/photos.tar"  # Reads of this machine's disk need no limit, and get none.
    opener = timely_opener(url, lambda: TarStore(url, "", photos.name, open_folder), SystemClock(), 60.0)
    with closing(opener()) as store:
        assert shares_reads(store)
        headers = len(read)
        assert headers > 1
        assert [store.get("cat/1.jpg") for _ in range(5)] == [b"one"] * 5
    assert (opened, len(read)) == ([photos.name], headers + 5)
