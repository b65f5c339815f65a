"""Listings of fsspec filesystems: what they say of a file, and how they go about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsession.store.failures import Failure, classify

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TAGS = ("ETag", "etag", "Etag", "e_tag", "md5Hash", "Content-MD5", "Digest", "CRC")
_TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "modified", "modify", "updated", "created")
_IDENTITY = "unique"
"""What an FTP server may call a file's inode."""


_SAID_BY_ALL = frozenset({Failure.MISSING, Failure.CONTAINER_MISSING, Failure.OTHER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some files of a listing, as a service gives them in one reply."""

    infos: Mapping[str, Mapping[str, object]]
    """What fsspec would say of each, by path."""
    mark: str
    """What the service calls the place that comes next; "" where it does not say, or none does."""
    is_last: bool
    """Whether no files follow."""

    @property
    def last(self) -> str:
        """The path of the last one; "" for none."""
        return next(reversed(list(self.infos)), "")

    def follows(self, path: str) -> bool:
        """Whether its files ascend by the bytes of their paths, and come after `path`."""
        paths = list(self.infos)
        return paths == sorted(paths) and not (paths and paths[0] <= path)


def is_for_all(error: Exception) -> bool:
    """Whether a service that would not give a page may give the whole listing, or say better why not."""
    return classify(error) in _SAID_BY_ALL


def entry_version(info: Mapping[str, object]) -> str:
    """What changes in fsspec's description of a file when its bytes do: a tag if there is one, or times and size."""
    for name in _TAGS:
        if info.get(name):
            return f"{info[name]}"
    times = [f"{info[name]}" for name in (*_TIMES, _IDENTITY) if info.get(name)]
    return ":".join([f"{info.get('size')}", *times])


def walks_folders(filesystem: AbstractFileSystem) -> bool:
    """Whether a filesystem lists by fsspec's general walk, folder by folder."""
    from fsspec import AbstractFileSystem
    from fsspec.asyn import AsyncFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    while isinstance(filesystem, CachingFileSystem):
        filesystem = filesystem.fs  # It hands listings on.
    if isinstance(filesystem, AsyncFileSystem):
        return bool(type(filesystem)._find is AsyncFileSystem._find)
    return bool(type(filesystem).find is AbstractFileSystem.find)
