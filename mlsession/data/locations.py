"""Where files that are named one by one lie: one folder of one store, and a key for each; pure but for the current
folder, to which relative paths belong."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlsession.errors import InvalidParameter
from mlsession.store.location import (
    is_local,
    join_url,
    local_path,
    parent_url,
    redact,
    scheme_of,
    schemes_of,
    url_name,
)


def full_location(location: str) -> str:
    """A local path made absolute, with "." and ".." worked off by name; a URL as it is.

    Raises `InvalidParameter` for one that is empty or no Unicode.
    """
    if not location:
        raise InvalidParameter("path", location, "is empty; name a file")
    try:
        location.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("path", location, "is not valid Unicode; rename the file") from error
    return os.path.normpath(local_path(location)) if is_local(location) else _absolute_chain(location)


def folder_location(location: str) -> str:
    """Where a folder is, wherever the process that reads it runs: a local path made absolute, also at a chain's end.

    Raises `InvalidParameter` for one that is empty or no Unicode.
    """
    if not location:
        raise InvalidParameter("url", location, 'is empty; write "." for the current folder')
    try:
        location.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("url", location, "is not valid Unicode; rename the folder") from error
    return local_path(location) if is_local(location) else _absolute_chain(location)


def is_relative(path: str) -> bool:
    """Whether a path says nothing of where it begins: no scheme, no drive, no root."""
    return not (scheme_of(path) or path.startswith("/") or Path(path).is_absolute())


def location_below(folder: str, path: str) -> str:
    """The location of a relative `path` that begins at `folder`; its "." and ".." are worked off by name.

    Raises `InvalidParameter` for one that leads above the store.
    """
    if is_local(folder):
        return os.path.normpath(os.path.join(local_path(folder), path))  # noqa: PTH118 (a name may begin with "~")
    above, folders = folder, posixpath.normpath(path).split("/")
    while folders[:1] == [".."]:
        higher, folders = _above(above), folders[1:]
        if higher is None:
            raise InvalidParameter("path", path, f"leads out of the store of {redact(folder)}; correct the path")
        above = higher
    return join_url(above, "/".join(folders))


def common_folder(locations: Sequence[str]) -> str:
    """The deepest folder that holds all of these files.

    Locations are full (see `full_location`), not empty, and of one store. Raises `InvalidParameter` if they are not.
    """
    if all(map(is_local, locations)):
        try:
            return os.path.commonpath({os.path.dirname(location) for location in locations})  # noqa: PTH120 (many)
        except ValueError as error:  # Drives of Windows.
            raise _not_one_store(locations) from error
    chains = [_folders_up(parent) for parent in dict.fromkeys(map(_parent, locations))]
    shared = set.intersection(*map(set, chains))
    root = next((folder for folder in chains[0] if folder in shared), None)
    if root is None:
        raise _not_one_store(locations)
    return root


def keys_below(root: str, locations: Sequence[str]) -> list[str | None]:
    """The key of each of these files relative to a folder, as `common_folder` writes it; None outside of it."""
    if is_local(root):
        start = root.rstrip(os.sep) + os.sep
        return [
            location[len(start) :].replace(os.sep, "/") if location.startswith(start) else None
            for location in locations
        ]
    starts: dict[str, str | None] = {}
    keys: list[str | None] = []
    for location in locations:
        parent = _parent(location)
        if parent not in starts:
            starts[parent] = _path_between(root, _folders_up(parent))
        path = starts[parent]
        keys.append(None if path is None else f"{path}{url_name(location)}")
    return keys


def parts_below(url: str, folder: str) -> list[str]:
    """The parts of the path from `folder` to `url`; none if it does not lie in there."""
    if is_local(url) != is_local(folder):
        return []
    inner, outer = ((local_path(each) if is_local(each) else each).rstrip("/\\") for each in (url, folder))
    rest = inner.removeprefix(outer)
    return rest.replace("\\", "/").strip("/").split("/") if rest != inner and rest[:1] in ("/", "\\") else []


def _absolute_chain(url: str) -> str:
    links, separator, last = url.rpartition("::")
    return f"{links}::{local_path(last)}" if separator and last and is_local(last) else url


def _parent(location: str) -> str:
    try:
        return parent_url(location)
    except InvalidParameter as error:
        raise InvalidParameter("path", redact(location), "is no file in a folder or bucket; name a file") from error


def _folders_up(folder: str) -> list[str]:
    """The folder, and those that it lies in, up to the root of its store."""
    folders = [folder]
    while (above := _above(folders[-1])) is not None:
        folders.append(above)
    return folders


def _path_between(root: str, folders: Sequence[str]) -> str | None:
    """The path from a root to the first of `folders`, of which each lies in the next; None if the root is none."""
    if root not in folders:
        return None
    return "".join(f"{url_name(folder)}/" for folder in reversed(folders[: folders.index(root)]))


def _above(folder: str) -> str | None:
    """The folder above, in the same store: what holds an archive is none of its folders."""
    try:
        above = parent_url(folder)
    except InvalidParameter:
        return None
    return above if above != folder and schemes_of(above) == schemes_of(folder) else None


def _not_one_store(locations: Iterable[str]) -> InvalidParameter:
    shown = sorted({redact(location) for location in locations})
    return InvalidParameter(
        "path",
        shown[0],
        f"and {shown[-1]!r} lie in different stores; put all images into one bucket or on one disk",
    )
