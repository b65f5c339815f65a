"""Does this store keep two creators of one key apart?"""

from __future__ import annotations

from mlsession.errors import KeyExists, StoreDenied, StoreError
from mlsession.store.protocol import Store


def probe_exclusive(store: Store, token: str) -> bool:
    """Whether `put_if_absent` lets exactly one of several creators win; tried on the key "probe/<token>".

    `token` must be new (never used on this store, by anyone). The key is created twice with the call that commits
    use; the second must fail, and leave the bytes of the first. A client that only looks before it writes passes
    such a test and still lets two writers win, so a store that knows this of itself says so by a false attribute
    `creates_exclusively` (`FsspecStore` does for FTP and the like), and is believed. The key is removed again, except
    where the store forbids removing. Raises `StoreError` if the store fails otherwise.
    """
    if not getattr(store, "creates_exclusively", True):
        return False
    key = f"probe/{token}"
    first, second = f"{token} first".encode(), f"{token} second".encode()
    try:
        _create(store, key, first)
        try:
            store.put_if_absent(key, second)
        except KeyExists:
            return store.get(key) == first
        return False
    finally:
        try:
            store.delete(key)
        except StoreDenied:
            # A bucket that forbids removing can still keep sessions; one small known key stays behind.
            pass


def _create(store: Store, key: str, data: bytes) -> None:
    try:
        store.put_if_absent(key, data)
    except KeyExists as error:
        # A reply that was lost and a request that was sent again look like this, too: then the bytes are ours.
        if store.get(key) != data:
            raise StoreError(f"{store.url}: {key} is in use by another probe; probe with a new token", key) from error
