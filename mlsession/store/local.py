"""A store in a folder of this machine, outside fsspec: whole, exclusive and durable writes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlsession.errors import KeyExists, KeyMissing, MLSessionError, StoreError, StoreUnavailable
from mlsession.store.durable import (
    create_directories,
    create_exclusively,
    creates_by_linking,
    disk_time,
    sync_directory,
    write_whole,
)
from mlsession.store.failures import os_failure
from mlsession.store.keys import check_read_key, check_written_key, is_temporary
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range

LEFTOVER_AGE_SECONDS = 24 * 3600
"""How old a temporary file must be before its writer is taken for dead."""

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What a link says that leads nowhere, or to itself."""


class LocalStore:
    """Files below one folder; nothing is created before the first write.

    put            temporary sibling, write, sync, rename onto the name, sync the folder
    put_if_absent  temporary sibling, write, sync, hard link to the name, sync the folder

    Symbolic links are followed when reading (a link back to a folder that it lies in is left out of listings). Only
    regular files are listed. `hard_links=False` is for file systems known to have none; others are recognised.
    """

    def __init__(self, root: str | os.PathLike[str], *, hard_links: bool = hasattr(os, "link")) -> None:
        self._root = Path(root).absolute()
        self._hard_links = hard_links
        self._synced: set[Path] = set()

    @property
    def url(self) -> str:
        return str(self._root)

    def get(self, key: str) -> bytes:
        with self._reporting(key):
            return self._readable(key).read_bytes()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        with self._reporting(key), self._readable(key).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def put(self, key: str, data: bytes) -> None:
        with self._reporting(key, writing=True):
            final = self._prepared(key)
            write_whole(final, data, lambda temporary: temporary.replace(final))
            sync_directory(final.parent)

    def put_if_absent(self, key: str, data: bytes) -> None:
        with self._reporting(key, writing=True):
            final = self._prepared(key)
            try:
                self._create(final, data)
            except FileExistsError as error:
                raise KeyExists(f"{final} exists already", key) from error
            sync_directory(final.parent)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rstrip("/")
        directory = self._readable(folder) if folder else self._root
        return self._entries(directory, folder)

    def delete(self, key: str) -> None:
        check_written_key(key)
        with self._reporting(key), suppress(FileNotFoundError, NotADirectoryError):
            path = self._root / key
            path.unlink()
            sync_directory(path.parent)

    def close(self) -> None:
        """Nothing to release."""

    def remove_leftovers(self, prefix: str = "") -> int:
        """Remove what killed writers left half-written below the folder `prefix`; how many files that was.

        A temporary file counts as left over when it is a day older than a file created now on the same disk, so no
        two clocks are compared. Nothing else is touched.
        """
        folder = prefix.rstrip("/")
        directory = self._readable(folder) if folder else self._root
        num_removed = 0
        with self._reporting(folder):
            if not directory.is_dir():
                return 0
            now = disk_time(directory)
            for path in directory.rglob(".mlsession-temporary-*"):
                # Its writer may be alive after all and finish just now, so that it is gone.
                with suppress(FileNotFoundError):
                    if is_temporary(path.name) and now - path.lstat().st_mtime > LEFTOVER_AGE_SECONDS:
                        path.unlink()
                        num_removed += 1
        return num_removed

    def remove_empty_folders(self, folders: Iterable[str]) -> None:
        """Remove `folders`, and those in them, where they are empty, and then the root if it is.

        What killed writers left half-written there goes with them, so no writer may be alive.
        """
        for folder in folders:
            for path, _, names in os.walk(self._readable(folder), topdown=False):
                with self._reporting(folder), suppress(FileNotFoundError):
                    for name in filter(is_temporary, names):
                        (Path(path) / name).unlink()
                    _remove_if_empty(Path(path))
        with self._reporting(""), suppress(FileNotFoundError):
            _remove_if_empty(self._root)

    def _create(self, final: Path, data: bytes) -> None:
        """Create `final` with all of `data`, or raise `FileExistsError`."""
        if self._hard_links:
            refused: list[OSError] = []

            def link(temporary: Path) -> None:
                try:
                    final.hardlink_to(temporary)
                except OSError as error:
                    if creates_by_linking(has_link=True, refusal=error.errno):
                        raise
                    refused.append(error)

            write_whole(final, data, link)
            if not refused:
                return
            self._hard_links = False
        create_exclusively(final, data)

    def _readable(self, key: str) -> Path:
        """The path of a key that may be read; checked again as a path, so that no spelling leaves the root."""
        check_read_key(key, windows=os.name == "nt")
        path = self._root / key
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self._root)):
            raise StoreError(f"{key!r} lies outside {self._root}; give a key below the store's root", key)
        return path

    def _prepared(self, key: str) -> Path:
        """The path of a key that may be written, its folder there and durable."""
        check_written_key(key)
        final = self._root / key
        directory = final.parent
        if directory not in self._synced or not directory.is_dir():
            try:
                create_directories(directory)
            except FileExistsError as error:
                raise StoreError(f"{directory}: a part of this path is a file, not a folder", key) from error
            # Another process may have created these a moment ago, and not have synced them yet.
            for folder in (directory, *directory.parents):
                if folder == self._root:
                    break
                sync_directory(folder.parent)
            self._synced.add(directory)
        return final

    @contextmanager
    def _reporting(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Turn the system's errors into ours, with the path concerned."""
        try:
            yield
        except MLSessionError:
            raise
        except FileNotFoundError as error:
            if writing:
                reason = "its folder was removed while it was written"
                raise StoreUnavailable(f"{self._root / key}: {reason}", key) from error
            raise KeyMissing(f"{self._root / key}: there is no such file", key) from error
        except NotADirectoryError as error:
            raise KeyMissing(f"{self._root / key}: a part of this path is a file, not a folder", key) from error
        except OSError as error:
            # A listing may fail far below the folder that was asked for; a write fails under a temporary name.
            path = self._root / key if writing or not error.filename else error.filename
            raise os_failure(error, str(path), key) from error

    def _entries(self, directory: Path, folder: str) -> Iterator[Entry]:
        with self._reporting(folder):
            try:
                status = directory.stat()
            except (FileNotFoundError, NotADirectoryError):
                return
            if not folder and not stat.S_ISDIR(status.st_mode):
                raise StoreError(f"{self._root} is a file, not a folder; give a folder")
            yield from _walk(str(directory), f"{folder}/" if folder else "", ((status.st_dev, status.st_ino),))


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _walk(directory: str, start: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    """The regular files below a folder; `above` identifies it and the folders it was reached through."""
    folders: list[tuple[str, str]] = []
    try:
        with os.scandir(directory) as items:
            for item in items:
                entry = _entry(item, start)
                if entry is not None:
                    yield entry
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
            yield from _walk(path, deeper, (*above, identity))


def _entry(item: os.DirEntry[str], start: str) -> Entry | None:
    """What to list for one item of a folder: nothing for folders, special files, dangling links and our temporaries."""
    try:
        if not item.is_file() or is_temporary(item.name):
            return None
        status = item.stat()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    version = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
    return Entry(key=f"{start}{item.name}", size=status.st_size, version=version)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return False
        raise
