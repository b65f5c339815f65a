"""The client of a store: closed by whoever opened it, and another one once its credentials have expired."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlsession.errors import StoreError
from mlsession.store.buckets.clients import disconnect

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Scrub = Callable[[str], str]
"""Takes secrets out of a text."""
Renew = Callable[[], "tuple[AbstractFileSystem, Scrub]"]


class Connection:
    """A filesystem of fsspec's, for any number of threads."""

    def __init__(self, filesystem: AbstractFileSystem, url: str, scrub: Scrub, renew: Renew | None) -> None:
        """`url` as people may see it; `renew` makes a filesystem with the credentials of today."""
        self._filesystem: AbstractFileSystem | None = filesystem
        self._former: list[AbstractFileSystem] = []
        self._url = url
        self._scrub = scrub
        self._renew = renew
        self._has_expired = False
        self._lock = threading.Lock()

    @property
    def scrub(self) -> Scrub:
        return self._scrub

    @property
    def current(self) -> AbstractFileSystem | None:
        """What `filesystem` gave last; None once it was closed."""
        return self._filesystem

    def filesystem(self) -> AbstractFileSystem:
        """The filesystem to ask now. Raises `StoreError` once it was closed, and what renewing raises."""
        with self._lock:
            if self._filesystem is None:
                raise StoreError(f"{self._url}: this store was closed; open it again")
            if self._has_expired and self._renew is not None:
                former = self._filesystem
                self._filesystem, self._scrub = self._renew()
                self._former.append(former)  # Other threads may still read through it.
                self._has_expired = False
            return self._filesystem

    def expire(self, filesystem: AbstractFileSystem | None) -> None:
        """Says that the credentials of this one have expired, which of a former one is known."""
        with self._lock:
            self._has_expired |= filesystem is self._filesystem

    def close(self) -> None:
        """Ends all connections; idempotent."""
        with self._lock:
            ended, self._former = [*self._former, self._filesystem], []
            self._filesystem = None
        for filesystem in ended:
            disconnect(filesystem)
