"""A Core ML package, which is a folder, written so that no reader ever sees a part of it.

local     write a hidden folder beside it, sync it, read it back, move the old one away, rename the new one into place
remote    delete the manifest, write the other files, write the manifest: what has none is no package

A kill leaves, on a disk, the old package or the new one; between the two renames neither name is there, and the old
package lies whole under a hidden name beside it. The next write puts it back, and removes what a kill left.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from mlsession.coreml.manifest import DATA_FOLDER, MANIFEST, MODEL, WEIGHTS
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.write_file import put_and_read_back
from mlsession.store import Store, check_written_key, is_local, local_path, open_store, redact, url_name
from mlsession.store.durable import create_directories, sync_directory, write_new
from mlsession.store.failures import os_failure

_OWN = frozenset({MANIFEST, MODEL, WEIGHTS})
_DESKTOP = ".DS_Store"
"""What macOS puts into any folder that is looked at."""


def write_package(url: str, files: Mapping[str, bytes], storage_options: Mapping[str, object] | None = None) -> None:
    """Write or replace a package at a path or fsspec URL: `files` by path in it, in this order, the manifest last.

    Folders are made as needed; all files are read back. Raises as `check_package`, `StoreError`, and `DamagedData` if
    a file is not what was written.
    """
    check_package(url, storage_options)
    if is_local(url):
        _write_local(Path(local_path(url)), files)
        return
    with closing(open_store(url, storage_options)) as store:
        put_package(store, files)


def check_package(url: str, storage_options: Mapping[str, object] | None = None) -> None:
    """Raise `InvalidParameter` if a package cannot be written to `url`, or would replace what is no package."""
    check_written_key(url_name(url))
    if is_local(url) and Path(local_path(url)).is_file():
        raise InvalidParameter("path", url, "is a file, and a Core ML package is a folder; remove it or name another")
    with closing(open_store(url, storage_options)) as store:
        found = {entry.key for entry in store.list()} - {_DESKTOP}
    ours = found <= _OWN or MANIFEST in found
    others = sorted(found - _OWN if not ours else {key for key in found if not _in_package(key)})
    if others:
        reason = f"holds what is no Core ML package (such as {others[0]}), which would be lost; name another folder"
        raise InvalidParameter("path", redact(url), reason)


def _in_package(key: str) -> bool:
    return key == MANIFEST or key.startswith(f"{DATA_FOLDER}/") or key.rpartition("/")[2] == _DESKTOP


def put_package(store: Store, files: Mapping[str, bytes]) -> None:
    """Write or replace the package that is the whole of a store, which has no renaming: at no time are the files of
    two packages there together with a manifest. Raises `StoreError` and `DamagedData`."""
    before = [entry.key for entry in store.list()]
    if MANIFEST in before:
        store.delete(MANIFEST)
    for key, data in files.items():
        put_and_read_back(store, key, data)
    for key in before:
        if key not in files:
            store.delete(key)


def _write_local(final: Path, files: Mapping[str, bytes]) -> None:
    with _reporting(final):
        create_directories(final.parent)
        _clear(final)
        staged = _sibling(final, "new")
        try:
            for key, data in files.items():
                path = staged / key
                create_directories(path.parent)
                write_new(path, data)
                sync_directory(path.parent)
                if path.read_bytes() != data:
                    reason = "it reads back otherwise than it was written; check the disk and write it again"
                    raise DamagedData(str(path), reason)
            _swap(staged, final)
        finally:
            _remove(staged)


def _swap(staged: Path, final: Path) -> None:
    """Give `staged` the name `final`, and remove what had it."""
    old = _sibling(final, "old")
    with suppress(FileNotFoundError):
        final.rename(old)
    try:
        staged.rename(final)
    except BaseException:
        with suppress(OSError):
            old.rename(final)
        raise
    sync_directory(final.parent)
    _remove(old)


def _clear(final: Path) -> None:
    """Put back a package that a kill left between its names, and remove what else writers left beside it."""
    left = _leftovers(final)
    if not final.exists():
        for path, kind in left:
            if kind == "old":
                path.rename(final)
                break
    for path, _ in left:
        # By renaming it first: a writer that is alive after all fails cleanly, and never gives a name to a part.
        gone = _sibling(final, "gone")
        with suppress(FileNotFoundError):
            path.rename(gone)
            _remove(gone)


def _leftovers(final: Path) -> list[tuple[Path, str]]:
    """The hidden folders of writers of `final`, with what each was for, the newest first."""
    pattern = re.compile(rf"\.{re.escape(final.name)}\.mlsession-(new|old|gone)-[0-9a-f]{{16}}")
    found = [(path, match[1]) for path in final.parent.iterdir() if (match := pattern.fullmatch(path.name))]
    return sorted(found, key=lambda item: item[0].lstat().st_mtime_ns, reverse=True)


def _sibling(final: Path, kind: Literal["new", "old", "gone"]) -> Path:
    return final.with_name(f".{final.name}.mlsession-{kind}-{secrets.token_hex(8)}")


def _remove(path: Path) -> None:
    # A failure to tidy up must not hide what went wrong; the next write tries again.
    if path.is_symlink():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _reporting(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_failure(error, str(final), final.name) from error
