"""A store on an object store, which does several things in one request, or at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any

from mlsession.errors import KeyMissing
from mlsession.store.buckets.awaited import AwaitedStore
from mlsession.store.buckets.azure import page_at as azure_page_at
from mlsession.store.buckets.google import page_after as google_page_after
from mlsession.store.buckets.google import page_at as google_page_at
from mlsession.store.buckets.listing import Page, is_for_all
from mlsession.store.buckets.s3 import MOST_DELETED, S3, delete_objects
from mlsession.store.buckets.s3 import page_after as s3_page_after
from mlsession.store.buckets.s3 import page_at as s3_page_at
from mlsession.store.buckets.services import AZURE, GOOGLE
from mlsession.store.bulk import PAGE, ListedPart, parts_from
from mlsession.store.keys import check_read_key, check_written_key
from mlsession.store.protocol import Entry

_PAGE_AT: Mapping[str, Callable[[Any, str, str, int], Page | None]] = MappingProxyType(
    {
        **dict.fromkeys(S3, s3_page_at),
        **dict.fromkeys(GOOGLE, google_page_at),
        **dict.fromkeys(AZURE, azure_page_at),
    }
)
_PAGE_AFTER: Mapping[str, Callable[[Any, str, str, int], Page | None]] = MappingProxyType(
    {**dict.fromkeys(S3, s3_page_after), **dict.fromkeys(GOOGLE, google_page_after)}
)


class ObjectStore(AwaitedStore):
    """Keys below one path of a bucket."""

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        """See `mlsession.store.bulk`; asked for at once: the clients can wait for several replies."""
        for key in limits:
            check_read_key(key)
        replies: dict[str, object] = dict.fromkeys(limits)
        if len(limits) > 1:
            paths = [self._path(key) for key in limits]
            with self._reporting(next(iter(limits))):
                starts, stops = [0] * len(paths), list(limits.values())
                replies = dict(zip(limits, self._open.cat_ranges(paths, starts, stops, on_error="return"), strict=True))
        found: dict[str, bytes] = {}
        for key, reply in replies.items():
            # One that failed is asked for again by itself, unless it failed for being missing.
            with suppress(KeyMissing):
                if isinstance(reply, FileNotFoundError):
                    with self._reporting(key):
                        raise reply
                found[key] = reply[: limits[key]] if isinstance(reply, bytes) else self.get_range(key, 0, limits[key])
        return found

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """See `mlsession.store.bulk`; sent at once. If one fails, those still under way are given up."""
        from fsspec.asyn import sync

        if len(values) < 2:
            for key, data in values.items():
                self.put(key, data)
            return
        for key in values:
            check_written_key(key)
        with self._reporting(next(iter(values)), writing=True):
            filesystem, size = self._open, sum(map(len, values.values()))
            paths = {self._path(key): data for key, data in values.items()}
            sync(filesystem.loop, _sent, filesystem, paths, timeout=self._patience(size))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Page by page: fsspec's own listing is whole in memory, a kilobyte and more for each key."""
        part = self.list_part(prefix, "")
        return super().list(prefix) if part is None else parts_from(part, partial(self.list_part, prefix), self.url)

    def list_part(self, prefix: str, mark: str) -> ListedPart | None:
        """See `mlsession.store.bulk`."""
        folder, path = self._folder(prefix)
        with self._reporting(folder):
            try:
                page = _PAGE_AT[self._scheme](self._open, path, mark, PAGE)
            except Exception as error:
                if mark or not is_for_all(error):
                    raise
                return None
        if page is None:
            return None
        return ListedPart(entries=tuple(self._entries(page.infos, f"{folder}/" if folder else "")), mark=page.mark)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
        """See `mlsession.store.bulk`; None from Azure, which lists from the beginning or from its own marks."""
        folder, path = self._folder(prefix)
        found, last = list[Entry](), self._path(after) if after else ""
        while (ask := _PAGE_AFTER.get(self._scheme)) is not None:
            with self._reporting(folder):
                page = ask(self._open, path, last, count)
            if page is None:
                break
            found += self._entries(page.infos, f"{folder}/" if folder else "")
            if page.is_last or len(found) >= count:
                return tuple(found[:count])
            last = page.last
        return None

    def _folder(self, prefix: str) -> tuple[str, str]:
        """A folder as a key, and its path."""
        folder = prefix.rstrip("/")
        if folder:
            check_read_key(folder)
        return folder, self._path(folder) if folder else self._base

    def delete_some(self, keys: Sequence[str]) -> int:
        """See `mlsession.store.bulk`; several at once from S3."""
        some = keys[:MOST_DELETED]
        for key in some:
            check_written_key(key)
        if self._scheme in S3 and len(some) > 1:
            with self._reporting(some[0]):
                if delete_objects(self._open, [self._path(key) for key in some]):
                    return len(some)
        self.delete(keys[0])
        return 1


async def _sent(filesystem: Any, values: Mapping[str, bytes]) -> None:
    """Sends all values at once; what ends this ends each of them.

    fsspec's own way to send several leaves them running when it is cancelled: for ever, and their bytes in memory.
    """
    sending = [asyncio.ensure_future(filesystem._pipe_file(path, data)) for path, data in values.items()]
    try:
        await asyncio.gather(*sending)
    finally:
        for each in sending:
            each.cancel()
