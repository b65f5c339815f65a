"""One file of any store, written so that no reader ever sees a part of it."""

from __future__ import annotations

from collections.abc import Mapping

from mlsession.errors import DamagedData
from mlsession.store import Store, open_store, parent_url, url_name


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
