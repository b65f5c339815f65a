"""Files that survive a power cut: written whole under another name, synced, then given their name."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlsession.store.failures import error_numbers
from mlsession.store.keys import temporary_name

_NO_LINK_NUMBERS = error_numbers("EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EMLINK", "EXDEV")
_NO_SYNC_NUMBERS = error_numbers("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")


def creates_by_linking(*, has_link: bool, refusal: int | None) -> bool:
    """Whether to create a file by giving a finished one a second name; pure.

    `has_link`: this Python can make hard links at all. `refusal`: the error number of a link that failed, if one did.
    A file system without hard links (FAT, some FUSE and network mounts) gives one of many numbers; then the name
    itself is created exclusively. That is as exclusive, but a kill may leave it without all of its bytes.
    """
    return has_link and refusal not in _NO_LINK_NUMBERS


def write_whole(final: Path, data: bytes | Path, give_name: Callable[[Path], object]) -> None:
    """Write and sync a temporary sibling of `final`, and pass it to `give_name`; it is gone afterwards in any case.

    `data` is what to write, or the file that holds it.
    """
    temporary = final.with_name(temporary_name(secrets.randbits(64)))
    try:
        write_new(temporary, data)
        give_name(temporary)
    finally:
        # Twice, because Ctrl-C may come between the two lines of the first.
        try:
            _discard(temporary)
        except BaseException:
            _discard(temporary)
            raise


def write_new(path: Path, data: bytes | Path) -> None:
    """Create a file and sync its bytes to the disk; `data` is they, or the file to copy. Raises `FileExistsError`."""
    with path.open("xb") as file:
        if isinstance(data, Path):
            with data.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def create_exclusively(path: Path, data: bytes) -> None:
    """`write_new`, and what could not be written whole is removed again. Raises `FileExistsError`."""
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            # The name is ours: nobody else can have created it since. Windows removes no open file.
            with suppress(OSError):
                file.close()
            _discard(path)
            raise


def create_directories(directory: Path) -> None:
    """Create a folder and the missing ones above it, each synced into the folder that holds it."""
    missing: list[Path] = []
    current = directory
    while not current.is_dir() and current != current.parent:
        missing.append(current)
        current = current.parent
    for folder in reversed(missing):
        # Another process may be creating it too; what is there and no folder fails here, with FileExistsError.
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a folder survive a power cut; does nothing where the system has no such call (Windows)."""
    flag = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    descriptor = os.open(directory, os.O_RDONLY | flag)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems sync names by themselves and refuse to be asked.
        if error.errno not in _NO_SYNC_NUMBERS:
            raise
    finally:
        os.close(descriptor)


def disk_time(directory: Path) -> float:
    """What the clock of the disk that holds a folder says now, as modification times count it (seconds)."""
    times: list[float] = []
    write_whole(directory / "clock", b"", lambda temporary: times.append(temporary.stat().st_mtime))
    return times[0]


def _discard(path: Path) -> None:
    # Where it was renamed there is nothing left; and a failure to tidy up must not hide what went wrong.
    with suppress(OSError):
        path.unlink()
