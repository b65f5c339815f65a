"""One handle for several threads: what a store may offer beyond `Store`, to those who read many values at once.

A client for a bucket takes a fifth of a second of processor time to set up, and can wait for any number of replies.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeAlias, runtime_checkable

from mlsession.store.protocol import Store

Wait: TypeAlias = Callable[["Future[bytes]"], bytes]
"""Waits for a reply and gives it; or raises what the reply is, or what ended the waiting."""


@runtime_checkable
class SharesReads(Protocol):
    """A store whose `get` several threads may call at once, if it says so."""

    @property
    def shares_reads(self) -> bool:
        """Whether they may. What its other methods say of threads stays as it is."""
        ...


@runtime_checkable
class AwaitsReads(SharesReads, Protocol):
    """One that leaves the waiting to the caller; where reads are not shared, it cannot."""

    def get_while(self, key: str, wait: Wait) -> bytes:
        """As `Store.get`; when `wait` raises, the request is given up."""
        ...


def shares_reads(store: Store) -> bool:
    """Whether several threads may read through this one handle at once. Raises what opening the store raises."""
    return isinstance(store, SharesReads) and store.shares_reads
