"""The seam between mlsession and any place that keeps bytes by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a listing."""

    key: str
    """Relative to the store's root, parts joined by "/"."""
    size: int
    """Bytes."""
    version: str
    """Changes when the bytes may have changed: an etag, or size and times of a file. Compared, never parsed."""


class Store(Protocol):
    """Bytes by key under one root.

    Keys are relative paths joined by "/". An instance belongs to one thread at a time. Every method raises
    `StoreUnavailable` for what is worth another try, `StoreDenied`, `StoreFull` or another `StoreError` otherwise.
    What a store may do at once, if it can, is in `mlsession.store.bulk`.
    """

    @property
    def url(self) -> str:
        """The root as a person would type it, without credentials."""
        ...

    def get(self, key: str) -> bytes:
        """All bytes of a key. Raises `KeyMissing`."""
        ...

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (exclusive), cut at the end of the value. Raises `KeyMissing`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write or replace a key. When this returns the bytes are durable; no reader ever sees a part of them."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> None:
        """Create a key; of any number of callers exactly one succeeds. Raises `KeyExists`. Durable like `put`."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every key below the folder `prefix` ("" = all), in no particular order. A missing folder is empty."""
        ...

    def delete(self, key: str) -> None:
        """Remove a key; a missing one is no error."""
        ...

    def close(self) -> None:
        """Release connections; idempotent."""
        ...
