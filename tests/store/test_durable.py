from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mlsession.store.durable import (
    create_directories,
    create_exclusively,
    creates_by_linking,
    disk_time,
    sync_directory,
    write_whole,
)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_recognised(number: int) -> None:
    assert not creates_by_linking(has_link=True, refusal=number)


@pytest.mark.parametrize("number", [None, errno.EEXIST, errno.ENOSPC, errno.EIO, errno.EROFS])
def test_other_failures_are_no_reason_to_do_without(number: int | None) -> None:
    assert creates_by_linking(has_link=True, refusal=number)


def test_a_system_without_hard_links() -> None:
    assert not creates_by_linking(has_link=False, refusal=None)


def test_the_temporary_is_whole_when_it_gets_its_name_and_gone_afterwards(tmp_path: Path) -> None:
    seen: list[tuple[Path, bytes]] = []
    write_whole(tmp_path / "final", b"data", lambda path: seen.append((path.parent, path.read_bytes())))
    assert seen == [(tmp_path, b"data")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt, SystemExit])
def test_the_temporary_is_gone_after_any_failure(tmp_path: Path, kind: type[BaseException]) -> None:
    def fail(path: Path) -> None:
        assert path.exists()
        raise kind

    with pytest.raises(kind):
        write_whole(tmp_path / "final", b"data", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_exclusively(path, b"first")
    with pytest.raises(FileExistsError):
        create_exclusively(path, b"second")
    assert path.read_bytes() == b"first"


def test_directories_are_created_from_the_first_missing_one_on(tmp_path: Path) -> None:
    create_directories(tmp_path / "a" / "b" / "c")
    create_directories(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    with pytest.raises(FileExistsError):
        create_directories(tmp_path / "a" / "file" / "below")


def test_a_missing_directory_cannot_be_synced(tmp_path: Path) -> None:
    sync_directory(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "missing")


def test_the_clock_of_a_disk_is_that_of_its_files(tmp_path: Path) -> None:
    before = disk_time(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    assert before <= (tmp_path / "file").stat().st_mtime <= disk_time(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
