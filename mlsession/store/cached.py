"""Chains with a cache of fsspec's on this machine: `simplecache::s3://bucket/photos`, `filecache::...`.

    simplecache    a value that was read once is never asked for again, nor whether it has changed
    filecache      with check_files=True it is asked for each time whether it has changed; the list of what is there
                   is written again with each new value

fsspec itself copies a value straight to its final name. A transfer that breaks off, or a process that is killed, leaves
a part of it there, which counts as all of it from then on. Here it gets its name once it is whole and on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsession.errors import CredentialsExpired, InvalidParameter
from mlsession.store.buckets.awaited import AwaitedStore
from mlsession.store.buckets.connection import Renew, Scrub
from mlsession.store.buckets.objects import ObjectStore
from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.buckets.services import OBJECT_STORES
from mlsession.store.bulk import ListedPart, list_part, parts_from
from mlsession.store.local import LocalStore
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range
from mlsession.store.sharing import Wait

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SIMPLE = "simplecache"
CACHES = frozenset({SIMPLE, "filecache"})
"""Schemes of filesystems that keep whole values on this machine."""


class CachedStore(FsspecStore):
    """Keys below one path of another filesystem, whose values are kept in a folder of this machine once they are read.

    The folder is the storage option `cache_storage`, by default a temporary one of this handle. Where two values could
    get one name there (`same_names`), it raises `InvalidParameter`.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        path: str,
        *,
        scheme: str,
        url: str,
        scrub: Scrub,
        renew: Renew | None = None,
    ) -> None:
        from fsspec.implementations.cache_mapper import HashCacheMapper

        if not isinstance(filesystem._mapper, HashCacheMapper):
            reason = "would give all pictures of one name the same one; leave same_names and cache_mapper out"
            raise InvalidParameter("storage_options", scheme, reason)
        super().__init__(filesystem, path, scheme=scheme, url=url, scrub=scrub, renew=renew)
        self._unsure: set[str] = set()

    @property
    def shares_reads(self) -> bool:
        """See `mlsession.store.sharing`; the list that `filecache` keeps is one thread's."""
        from fsspec.asyn import AsyncFileSystem

        return self._scheme == SIMPLE and isinstance(self._open.fs, AsyncFileSystem)

    def get(self, key: str) -> bytes:
        return self._got(key, lambda behind: behind.get(key))

    def get_while(self, key: str, wait: Wait) -> bytes:
        """See `mlsession.store.sharing`."""

        def ask(behind: FsspecStore) -> bytes:
            return behind.get_while(key, wait) if isinstance(behind, AwaitedStore) else behind.get(key)

        return self._got(key, ask)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Out of the whole value, which is kept: archives are read piece by piece, and kept for that."""
        check_range(start, stop)
        return self.get(key)[start:stop]

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """As what the cache stands before lists it."""
        part = self.list_part(prefix, "")
        return super().list(prefix) if part is None else parts_from(part, partial(self.list_part, prefix), self.url)

    def list_part(self, prefix: str, mark: str) -> ListedPart | None:
        """See `mlsession.store.bulk`."""
        with self._behind(self._open) as behind:
            return list_part(behind, prefix, mark)

    def _got(self, key: str, ask: Callable[[FsspecStore], bytes]) -> bytes:
        cache, path = self._open, self._path(key)
        with self._reporting(key):
            held = _held(cache, path) if path not in self._unsure else None
        if held is not None:
            return held
        self._unsure.add(path)  # What the cache says of it from here on, before it is there.
        with self._reporting(key):
            # For `filecache` the version, too: that of before, so that a value that changes meanwhile is an old one.
            name = Path(cache._make_local_details(path)).name if self._scheme != SIMPLE else cache._mapper(path)
        with self._behind(cache) as behind:
            data = ask(behind)
        LocalStore(cache.storage[-1]).put(name, data)
        if self._scheme != SIMPLE:
            cache.save_cache()
        self._unsure.discard(path)
        return data

    @contextmanager
    def _behind(self, cache: Any) -> Iterator[FsspecStore]:
        """What the cache stands before; it is not closed, the cache needs it."""
        inner, scheme = cache.fs, cache.target_protocol
        kind = ObjectStore if scheme in OBJECT_STORES else AwaitedStore if self.shares_reads else FsspecStore
        store = kind(inner, self._base, scheme=scheme, url=self._url, scrub=self._scrub)
        try:
            yield store
        except CredentialsExpired:
            self._connection.expire(cache)
            raise


def _held(cache: Any, path: str) -> bytes | None:
    """What a cache has of a path; None for nothing."""
    found = cache._check_file(path)
    if not found:
        return None
    try:
        return Path(found if isinstance(found, str) else found[1]).read_bytes()
    except FileNotFoundError:
        return None  # Removed meanwhile.
