"""The files below a folder of this machine, as keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mlsession.store.keys import is_temporary
from mlsession.store.protocol import Entry

T = TypeVar("T")
Describe = Callable[[os.DirEntry[str], str], T | None]
"""What to say of one item of a folder, whose key begins with the given text; None to leave it out."""

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What a link says that leads nowhere, or to itself."""


def walk_files(
    directory: str,
    start: str,
    above: tuple[tuple[int, int], ...],
    describe: Describe[T],
) -> Iterator[T]:
    """What `describe` says of the files below a folder, whose keys begin with `start`.

    `above` identifies the folder and those it was reached through, by device and inode: a link back to one of them is
    left out.
    """
    folders: list[tuple[str, str]] = []
    try:
        with os.scandir(directory) as items:
            for item in items:
                file = describe(item, start)
                if file is not None:
                    yield file
                elif _is_folder(item):
                    folders.append((item.path, f"{start}{item.name}/"))
    except (FileNotFoundError, NotADirectoryError):
        # Removed meanwhile, or never a folder: a missing folder is empty.
        return
    for path, deeper in folders:
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            continue
        identity = (status.st_dev, status.st_ino)
        if identity not in above:
            yield from walk_files(path, deeper, (*above, identity), describe)


def entry_of(item: os.DirEntry[str], start: str) -> Entry | None:
    """What to list for one item of a folder; see `key_of`."""
    key = key_of(item, start)
    try:
        return None if key is None else described(key, item.stat())
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise


def key_of(item: os.DirEntry[str], start: str) -> str | None:
    """The key of one item of a folder: none of folders, special files, dangling links and our temporaries."""
    try:
        return f"{start}{item.name}" if item.is_file() and not is_temporary(item.name) else None
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise


def described(key: str, status: os.stat_result) -> Entry:
    """A file as an entry of a listing."""
    version = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
    return Entry(key=key, size=status.st_size, version=version)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return False
        raise
