"""A store in a folder of this machine, outside fsspec: whole, exclusive and durable writes."""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mlsession.errors import KeyExists, MLSessionError, StoreError
from mlsession.store.disk_failures import file_failure
from mlsession.store.durable import (
    create_directories,
    create_exclusively,
    creates_by_linking,
    disk_time,
    sync_directory,
    write_whole,
)
from mlsession.store.keys import check_read_key, check_written_key, is_temporary
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range
from mlsession.store.stamps import Stamped, read_stamped, stamp_at
from mlsession.store.walking import Describe, described, entry_of, key_of, walk_files

T = TypeVar("T")

MOST_DELETED = 256
"""Files that are removed in one go: some milliseconds."""
LEFTOVER_AGE_SECONDS = 24 * 3600
"""How old a temporary file must be before its writer is taken for dead."""


class LocalStore:
    """Files below one folder; nothing is created before the first write.

    put            temporary sibling, write, sync, rename onto the name, sync the folder
    put_if_absent  temporary sibling, write, sync, hard link to the name, sync the folder

    Symbolic links are followed when reading (a link back to a folder that it lies in is left out of listings), and
    folders that are links when writing; a file that is a link is replaced, never written through. Nothing is deleted
    behind a link: of a file that is one the link goes. The root itself may be a link. Only regular files are listed.
    `hard_links=False` is for file systems known to have none; others are recognised.
    """

    def __init__(self, root: str | os.PathLike[str], *, hard_links: bool = hasattr(os, "link")) -> None:
        self._root = Path(root).absolute()
        self._start = f"{str(self._root).rstrip(os.sep)}{os.sep}"
        self._inside = f"{os.path.normpath(self._root).rstrip(os.sep)}{os.sep}"
        self._hard_links = hard_links
        self._synced: set[Path] = set()

    @property
    def url(self) -> str:
        return str(self._root)

    def get(self, key: str) -> bytes:
        # Called for every image, mostly small ones: no path is taken apart, and no context is made.
        try:
            with self._opened(key) as file:
                return file.readall()
        except MLSessionError:
            raise
        except OSError as error:
            raise file_failure(error, self._root, key) from error

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        with self._reporting(key), io.BufferedReader(self._opened(key)) as file:
            # Python makes room for all that is asked for, also where the file is short.
            last = min(stop, os.fstat(file.fileno()).st_size)
            file.seek(min(start, last))
            return file.read(last - min(start, last))

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """See `mlsession.store.stamps`."""
        return [stamp_at(self._readable(key)) for key in keys]

    def get_stamped(self, key: str) -> Stamped:
        """See `mlsession.store.stamps`."""
        with self._reporting(key), self._opened(key) as file:
            return read_stamped(file)

    def put(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        """See `mlsession.store.bulk`."""
        self._put(key, path)

    def _put(self, key: str, data: bytes | Path) -> None:
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
        directory = Path(self._readable(folder)) if folder else self._root
        return self._entries(directory, folder)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...]:
        """See `mlsession.store.bulk`: names are read of all files, sizes and times only of those that are given."""
        folder = prefix.rstrip("/")
        directory = Path(self._readable(folder)) if folder else self._root
        found: list[Entry] = []
        with self._reporting(folder):
            for key in sorted(key for key in self._below(directory, folder, key_of) if key > after):
                if len(found) == count:
                    break
                with suppress(FileNotFoundError, NotADirectoryError):
                    found.append(described(key, (self._root / key).stat()))
        return tuple(found)

    def delete(self, key: str) -> None:
        check_written_key(key)
        with self._reporting(key), suppress(FileNotFoundError, NotADirectoryError):
            path = self._root / key
            self._check_not_behind_a_link(key)
            path.unlink()
            sync_directory(path.parent)

    def delete_some(self, keys: Sequence[str]) -> int:
        """See `mlsession.store.bulk`: each folder is synced once."""
        some = keys[:MOST_DELETED]
        folders: set[Path] = set()
        try:
            for key in some:
                check_written_key(key)
                with self._reporting(key), suppress(FileNotFoundError, NotADirectoryError):
                    folder = (self._root / key).parent
                    if folder not in folders:
                        self._check_not_behind_a_link(key)
                    (self._root / key).unlink()
                    folders.add(folder)
        finally:
            for folder in folders:
                with self._reporting(some[0]), suppress(FileNotFoundError):
                    sync_directory(folder)
        return len(some)

    def close(self) -> None:
        """Nothing to release."""

    def remove_leftovers(self, prefix: str = "", older_than: float = LEFTOVER_AGE_SECONDS) -> int:
        """Remove what killed writers left half-written below the folder `prefix`; how many files that was.

        A temporary file counts as left over when it is `older_than` seconds older than a file created now on the same
        disk, so no two clocks are compared; with 0 each one does, for a folder that nobody else writes to any more.
        Should a writer be alive after all, its write fails with `StoreUnavailable`, and the next try succeeds. What
        cannot be removed stays, and so does what lies behind a link; nothing else is touched.
        """
        folder = prefix.rstrip("/")
        directory = Path(self._readable(folder)) if folder else self._root
        num_removed = 0
        if self._link_on_the_way(folder.split("/")) is not None:
            return 0
        with self._reporting(folder):
            left = [Path(path) / name for path, _, names in os.walk(directory) for name in names if is_temporary(name)]
            if not left:
                return 0
            newest = disk_time(directory) - older_than if older_than else math.inf
            for path in left:
                # Its writer may be alive after all and finish just now, so that it is gone.
                with suppress(OSError):
                    if path.lstat().st_mtime < newest:
                        path.unlink()
                        num_removed += 1
        return num_removed

    def remove_empty_folders(self, folders: Iterable[str]) -> None:
        """Remove `folders`, and those in them, where they are empty, and then the root if it is.

        What killed writers left half-written there goes with them, so no writer may be alive.
        """
        for folder in folders:
            if self._link_on_the_way(folder.split("/")) is not None:
                continue
            for path, _, names in os.walk(self._readable(folder), topdown=False):
                with self._reporting(folder), suppress(FileNotFoundError):
                    for name in filter(is_temporary, names):
                        (Path(path) / name).unlink()
                    _remove_if_empty(Path(path))
        with self._reporting(""), suppress(FileNotFoundError):
            if not self._root.is_symlink():
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

    def _readable(self, key: str) -> str:
        """The path of a key that may be read; checked again as a path, so that no spelling leaves the root."""
        check_read_key(key, windows=os.name == "nt")
        path = self._start + key
        if not f"{os.path.normpath(path)}{os.sep}".startswith(self._inside):
            raise StoreError(f"{key!r} lies outside {self._root}; give a key below the store's root", key)
        return path

    def _opened(self, key: str) -> io.FileIO:
        """The file of a key, to be read. Raises `StoreError` for what may never end, or never begin."""
        path = self._readable(key)
        mode = os.stat(path).st_mode  # noqa: PTH116 (a `Path` takes longer than this)
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise StoreError(
                f"{path}: is a pipe, a socket or a device, not a file; remove it, or correct the path", key
            )
        return io.FileIO(path)

    def _check_not_behind_a_link(self, key: str) -> None:
        """Raises `StoreError` for a file that lies elsewhere: whoever gave us the folder may have made the link."""
        if (link := self._link_on_the_way(key.split("/")[:-1])) is not None:
            raise StoreError(
                f"{link} is a link, and what lies behind links is never deleted: remove the link, or delete there", key
            )

    def _link_on_the_way(self, parts: Sequence[str]) -> Path | None:
        """The first of these folders, one in the other below the root, that is a link."""
        path = self._root
        for part in filter(None, parts):
            path = path / part
            if path.is_symlink():
                return path
        return None

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
        except OSError as error:
            raise file_failure(error, self._root, key, writing=writing) from error

    def _entries(self, directory: Path, folder: str) -> Iterator[Entry]:
        with self._reporting(folder):
            yield from self._below(directory, folder, entry_of)

    def _below(self, directory: Path, folder: str, describe: Describe[T]) -> Iterator[T]:
        try:
            status = directory.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        if not folder and not stat.S_ISDIR(status.st_mode):
            raise StoreError(f"{self._root} is a file, not a folder; give a folder")
        above = ((status.st_dev, status.st_ino),)
        yield from walk_files(str(directory), f"{folder}/" if folder else "", above, describe)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
