"""Bytes by key, anywhere: the only package that knows fsspec, and it loads fsspec only when a remote URL is opened."""

from __future__ import annotations

from mlsession.store.buckets.credentials import FreshOptions
from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.keys import check_own_key, check_read_key, check_written_key
from mlsession.store.local import LocalStore
from mlsession.store.location import is_local, join_url, local_path, parent_url, redact, scheme_of, url_name
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.probe import probe_exclusive
from mlsession.store.protocol import Entry, Store
from mlsession.store.shared_memory import SharedMemoryStore
from mlsession.store.url import open_store

__all__ = [
    "Entry",
    "FreshOptions",
    "FsspecStore",
    "LocalStore",
    "MemorySpace",
    "MemoryStore",
    "SharedMemoryStore",
    "Store",
    "check_own_key",
    "check_read_key",
    "check_written_key",
    "is_local",
    "join_url",
    "local_path",
    "open_store",
    "parent_url",
    "probe_exclusive",
    "redact",
    "scheme_of",
    "url_name",
]
