"""Listings of fsspec filesystems: what they say of a file, and how they go about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TAGS = ("ETag", "etag", "Etag", "e_tag", "md5Hash", "Content-MD5", "Digest", "CRC")
_TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "modified", "modify", "updated", "created")
_IDENTITY = "unique"
"""What an FTP server may call a file's inode."""


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
