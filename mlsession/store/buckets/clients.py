"""What the clients behind fsspec leave to those who use them: an end to waiting, and an end to connections."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mlsession.store.buckets.s3 import S3
from mlsession.store.buckets.services import GOOGLE

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECT_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""How long a client waits for a connection, and for the next bytes of a reply. Those of S3 and Azure have limits."""

CONNECTIONS = 128
"""Which one client may have at once; that of S3 makes do with ten unless it is told."""

CLOSE_SECONDS = 5.0


def time_limits(scheme: str) -> Mapping[str, object]:
    """Storage options without which a client would wait for ever for a server that says nothing."""
    if scheme not in GOOGLE:
        return {}
    # It comes with gcsfs. A limit for a whole request, which a number would be, ends large transfers.
    from aiohttp import ClientTimeout

    return {"requests_timeout": ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)}


def widen(filesystem: AbstractFileSystem | None) -> None:
    """Let a filesystem that nobody has used yet, and those that it stands on, have as many connections as are asked of
    it; who has stated a number gets that.
    """
    while filesystem is not None:
        if S3.intersection((filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol):
            filesystem.config_kwargs = {"max_pool_connections": CONNECTIONS, **filesystem.config_kwargs}
        filesystem = getattr(filesystem, "fs", None)


def disconnect(filesystem: AbstractFileSystem | None) -> None:
    """End the connections of a filesystem that nobody will use any more; those of most end when it is forgotten.

    adlfs keeps each of its filesystems, and the connections of it, until the process ends.
    """
    for name in ("service_client", "credential"):
        close = getattr(getattr(filesystem, name, None), "close", None)
        if inspect.iscoroutinefunction(close):
            _wait_for(filesystem, close)


def _wait_for(filesystem: AbstractFileSystem | None, close: object) -> None:
    from fsspec.asyn import sync

    # Whoever closes has got all that was asked for.
    with suppress(Exception):
        sync(getattr(filesystem, "loop", None), close, timeout=CLOSE_SECONDS)
