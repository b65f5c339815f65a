"""One file of any store, written so that no reader ever sees a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlsession.errors import DamagedData
from mlsession.store import Store, is_local, local_path, open_store, parent_url, url_name
from mlsession.store.durable import disk_time
from mlsession.store.keys import is_temporary
from mlsession.store.local import LEFTOVER_AGE_SECONDS


def write_atomically(url: str, data: bytes, storage_options: Mapping[str, object] | None = None) -> None:
    """Write or replace one file of any store (a path, or an fsspec URL); no reader ever sees a part of it.

    Folders are made as needed. The file is read back. Raises `StoreError`, `DamagedData` if it is not what was
    written, and `InvalidParameter` for a name that not every disk can hold.
    """
    store = open_store(parent_url(url), storage_options)
    try:
        put_and_read_back(store, url_name(url), data)
    finally:
        store.close()


def put_and_read_back(store: Store, key: str, data: bytes) -> None:
    """Write or replace a key, and raise `DamagedData` unless the store then gives the same bytes."""
    store.put(key, data)
    if store.get(key) != data:
        raise DamagedData(key, "it reads back otherwise than it was written; check the disk and write it again")


def remove_leftovers(url: str, older_than: float = LEFTOVER_AGE_SECONDS) -> None:
    """Remove what killed writers left half-written beside a local file, under hidden names that are nobody else's.

    By the disk's own clock: a file counts that is `older_than` seconds older than one created now. Nothing below the
    folder is looked at. A failure to tidy up is none of the export's: what cannot be removed stays.
    """
    if not is_local(url):
        return
    with suppress(OSError):
        folder = Path(local_path(parent_url(url)))
        left = [path for path in folder.iterdir() if is_temporary(path.name)]
        newest = disk_time(folder) - older_than if left else 0.0
        for path in left:
            with suppress(OSError):
                if path.lstat().st_mtime < newest:
                    path.unlink()
