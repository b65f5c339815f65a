"""Stamps: another one whenever the bytes may be others, and none where that cannot be said."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from mlsession.clock import SystemClock
from mlsession.data.reader import SourceReader
from mlsession.data.sources.found import index_images
from mlsession.errors import KeyMissing
from mlsession.store import LocalStore, MemoryStore
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.store.stamps import (
    NO_STAMP,
    SETTLED_SECONDS,
    STAMP_BYTES,
    get_stamped,
    read_stamped,
    stamp_at,
    stamp_of,
    stamps,
)
from mlsession.testing.clock import FakeClock

DATA = b"some bytes of a picture"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(DATA)
    # A file whose times are multiples of a millisecond has no stamp: once in a million.
    while not stamp_of(path.stat()):
        path.write_bytes(DATA)
    return path


def written(path: Path) -> None:
    path.write_bytes(DATA[::-1])


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(DATA[::-1])
    other.replace(path)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def renamed_and_back(path: Path) -> None:
    path.rename(path.with_name("b")).rename(path)


@pytest.mark.parametrize("change", [written, replaced, grown, renamed_and_back])
def test_a_changed_file_has_another_stamp_whatever_its_time_stamp_says(
    file: Path, change: Callable[[Path], None]
) -> None:
    before, status = stamp_of(file.stat()), file.stat()
    assert len(before) == STAMP_BYTES
    # Until the disk's clock has gone on: within one tick nobody can tell, which is why stamps have to settle.
    while file.stat().st_ctime_ns == status.st_ctime_ns:
        change(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert stamp_of(file.stat()) != before


def test_a_file_that_nobody_touches_keeps_its_stamp_under_any_name(file: Path) -> None:
    before = stamp_of(file.stat())
    assert file.read_bytes() == DATA
    (link := file.with_name("link.jpg")).symlink_to(file)
    assert stamps(LocalStore(file.parent), ["a.jpg", "link.jpg", "missing.jpg"]) == [before, before, NO_STAMP]
    assert link.is_symlink()


def test_disks_that_know_no_fine_times_have_no_stamps(file: Path) -> None:
    status = file.stat()

    class Told:
        """What another disk would say of the same file."""

        def __init__(self, **differs: int) -> None:
            for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"):
                setattr(self, name, differs.get(name, getattr(status, name)))

    def stamp(**differs: int) -> bytes:
        return stamp_of(cast(os.stat_result, Told(**differs)))

    assert stamp() == stamp_of(status)
    assert stamp(st_ctime_ns=1_700_000_000 * 10**9) == stamp(st_ctime_ns=17 * 10**15 + 20_000_000) == NO_STAMP
    assert stamp(st_ctime_ns=17 * 10**17 + 123_000_000) == NO_STAMP
    assert stamp(st_ino=0) == NO_STAMP
    one_off = {name: getattr(status, name) + 1 for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns")}
    assert len({stamp(), *(stamp(**{name: value}) for name, value in one_off.items())}) == 5


def test_what_is_no_file_that_may_be_read_has_no_stamp(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # To open it would wait for a writer.
    (tmp_path / "folder").mkdir()
    assert [stamp_at(str(tmp_path / name)) for name in ("pipe", "folder", "none")] == [NO_STAMP] * 3


def test_a_file_that_changes_while_it_is_read_has_no_stamp(file: Path) -> None:
    class Changing(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(-1 if size is None else size)
            before = file.stat().st_ctime_ns
            while file.stat().st_ctime_ns == before:
                written(file)
            return data

    with Changing(file) as opened:
        read = read_stamped(cast(IO[bytes], opened))
    assert (read.data, read.stamp) == (DATA, NO_STAMP)


def test_what_was_changed_a_moment_ago_is_not_known_by_its_stamp(file: Path) -> None:
    read = get_stamped(LocalStore(file.parent), "a.jpg")
    assert read.data == DATA
    assert read.changed == pytest.approx(file.stat().st_ctime)
    assert read.settled(read.changed) == NO_STAMP
    assert read.settled(read.changed + SETTLED_SECONDS) == NO_STAMP
    assert read.settled(read.changed - 3600.0) == NO_STAMP, "a disk whose clock is ahead"
    assert read.settled(read.changed + SETTLED_SECONDS + 0.1) == stamp_of(file.stat())


def test_a_source_on_a_disk_knows_its_files_and_others_do_not(file: Path) -> None:
    def patient() -> RetryingStore:
        return RetryingStore(LocalStore(file.parent), FakeClock(), Backoff(), lambda *_: None)

    known, unknown = SourceReader(patient, SystemClock()), SourceReader(patient)
    index = index_images(LocalStore(file.parent).list(), "here")
    assert known.stamps(["a.jpg"]) == [stamp_of(file.stat())]
    assert known.stamping(index) is known
    assert known.read_stamped("a.jpg") == (DATA, NO_STAMP), "it was made just now"
    assert unknown.read_stamped("a.jpg") == (DATA, NO_STAMP)
    assert unknown.stamping(index) is None
    with pytest.raises(KeyMissing):
        known.read_stamped("b.jpg")
    known.close()
    unknown.close()


def test_a_store_without_stamps_gives_bytes_alone() -> None:
    store = MemoryStore()
    store.put("a", DATA)
    assert stamps(store, ["a", "b"]) == [NO_STAMP, NO_STAMP]
    assert get_stamped(store, "a").settled(10.0**10) == NO_STAMP
    assert get_stamped(store, "a").data == DATA
