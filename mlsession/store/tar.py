"""The members of a tar archive in any store, read only: `tar://::/data/photos.tar`, `tar://cat::s3://bucket/all.tar`.

A tar archive has no table of contents: the headers are read once, one after the other, and say where each member lies;
from then on a member is one read of its bytes. (fsspec's own asks Python's `tarfile`, which looks through all members
for each one: for n members some n²/2 steps.) The format is that of POSIX.1-2001 (pax), with what GNU tar adds to it.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from posixpath import dirname, normpath
from typing import BinaryIO

from mlsession.errors import KeyMissing, StoreDenied, StoreError
from mlsession.store.keys import check_read_key
from mlsession.store.local import LocalStore
from mlsession.store.location import redact
from mlsession.store.protocol import Entry, Store
from mlsession.store.ranges import check_range

SCHEME = "tar"
_NEAR_BYTES = 2**14
"""Read at a time of an archive on a local disk: headers, and little of what lies between them."""
_FAR_BYTES = 2**22
"""The same elsewhere, where a request costs as much as a megabyte."""
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""What unpacks a file that begins so."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of the archive; `start` is negative where its bytes do not lie in one piece."""

    start: int
    size: int
    version: str


class TarStore:
    """The members of one archive below one of its folders; any number of threads may read at once."""

    def __init__(self, url: str, folder: str, name: str, open_store: Callable[[], Store]) -> None:
        """`name` is the archive's key in the store that `open_store` opens; `url` as people may see it."""
        self._url = url
        self._start = f"{folder}/" if folder else ""
        self._name = name
        self._open_store = open_store
        self._idle: list[Store] = []
        self._opened: list[Store] = []
        self._lock = threading.Lock()
        self._scanning = threading.Lock()
        self._closed = False
        self._members: Mapping[str, _Member] | None = None

    @property
    def url(self) -> str:
        return self._url

    @property
    def shares_reads(self) -> bool:
        """See `mlsession.store.sharing`. Reads the headers, so that no read of a member takes as long as that."""
        self._all_members()
        return True

    def get(self, key: str) -> bytes:
        member = self._member(key)
        return self._read(key, member.start, member.start + member.size)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        member = self._member(key)
        first, last = (member.start + min(place, member.size) for place in (start, stop))
        return self._read(key, first, last)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rstrip("/")
        start = f"{self._start}{folder}/" if folder else self._start
        for name, member in self._all_members().items():
            if name.startswith(start):
                yield Entry(key=name.removeprefix(self._start), size=member.size, version=member.version)

    def put(self, key: str, data: bytes) -> None:
        raise self._is_read_only(key)

    def put_if_absent(self, key: str, data: bytes) -> None:
        raise self._is_read_only(key)

    def delete(self, key: str) -> None:
        raise self._is_read_only(key)

    def close(self) -> None:
        with self._lock:
            opened, self._opened, self._closed = self._opened, [], True
            self._idle = []
        for store in opened:
            store.close()

    def _is_read_only(self, key: str) -> StoreError:
        return StoreDenied(f"{self._url}: an archive is only read; choose a folder to write {key} to", key)

    def _member(self, key: str) -> _Member:
        check_read_key(key)
        member = self._all_members().get(self._start + key)
        if member is None:
            raise KeyMissing(f"{self._url}: {key} is not in the archive", key)
        if member.start < 0:
            raise StoreError(f"{self._url}: {key} is stored with holes; pack the archive without --sparse", key)
        return member

    def _read(self, key: str, start: int, stop: int) -> bytes:
        data = b""
        if stop > start:
            with self._handle() as store:
                data = store.get_range(self._name, start, stop)
        if len(data) != stop - start:
            raise StoreError(f"{self._url}: the archive ends within {key}: it is cut off; copy it again", key)
        return data

    @contextmanager
    def _handle(self) -> Iterator[Store]:
        """A handle on the store that the archive lies in, which nobody else uses meanwhile.

        Not one for each thread: who reads in time (`mlsession.store.timely`) reads each member in a new one.
        """
        with self._lock:
            self._check_open()
            store = self._idle.pop() if self._idle else None
        if store is None:
            store = self._open_store()
            with self._lock:
                if self._closed:
                    store.close()
                self._check_open()
                self._opened.append(store)
        try:
            yield store
        finally:
            with self._lock:
                if not self._closed:
                    self._idle.append(store)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._url}: this store was closed; open it again")

    def _all_members(self) -> Mapping[str, _Member]:
        if self._closed or self._members is None:
            with self._scanning:
                if self._closed or self._members is None:
                    with self._handle() as store:
                        self._members = self._scanned(store)
        return self._members

    def _scanned(self, store: Store) -> Mapping[str, _Member]:
        """Raises `StoreError` for what is no archive, or one that is cut off."""
        first = store.get_range(self._name, 0, 6)
        unpack = next((tool for mark, tool in _COMPRESSED.items() if first.startswith(mark)), None)
        if unpack is not None:
            raise StoreError(
                f"{self._url}: the archive is compressed, so that no member can be read without all before it; "
                f"unpack it with {unpack} (photos hardly shrink), or pack a .zip"
            )
        size = _NEAR_BYTES if isinstance(store, LocalStore) else _FAR_BYTES
        try:
            with io.BufferedReader(_ArchiveFile(store, self._name), size) as file:
                return _members_of(file)
        except (tarfile.TarError, UnicodeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise StoreError(f"{self._url}: this is no whole tar archive ({text}); copy it again") from error


def open_tar(url: str, open_store: Callable[[str], Store], parent: str, name: str) -> TarStore:
    """The store at a chain that begins with "tar"; `parent` is the folder that the archive `name` lies in."""
    folder = url.partition("::")[0].removeprefix(f"{SCHEME}://").removeprefix(SCHEME).strip("/")
    return TarStore(redact(url), folder, name, lambda: open_store(parent))


def _members_of(file: BinaryIO) -> dict[str, _Member]:
    """The files by name, of equal names the last; links as the files that they lead to."""
    members: dict[str, _Member] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # Otherwise it would keep all of them.
            name = _plain(info.name)
            if not name or info.isdir():
                continue
            members.pop(name, None)
            links.pop(name, None)
            if info.isreg():
                version = f"{info.size}:{info.mtime}:{info.chksum:o}"
                members[name] = _Member(-1 if info.issparse() else info.offset_data, info.size, version)
            elif info.islnk():
                links[name] = _plain(info.linkname)
            elif info.issym():
                links[name] = _plain(normpath(f"{dirname(name)}/{info.linkname}"))
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"at byte {archive.offset:,} there is no header of a member")
    for name in links:
        target = _led_to(name, links)
        if target in members:
            members[name] = members[target]
    return members


def _led_to(name: str, links: Mapping[str, str]) -> str:
    """What a link leads to over others; itself, if it goes round in a circle."""
    seen = {name}
    target = links[name]
    while target in links and target not in seen:
        seen.add(target)
        target = links[target]
    return target


def _plain(name: str) -> str:
    """A member's name as a key; "" for one that would lead out of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


class _ArchiveFile(io.RawIOBase):
    """A key of a store as a file to read."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known")
        self._place = offset + (self._place if whence == io.SEEK_CUR else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._store.get_range(self._key, self._place, self._place + len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
