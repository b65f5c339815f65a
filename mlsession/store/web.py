"""Files of HTTP servers: most cannot be listed, so each is asked about by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlsession.store.buckets.awaited import AwaitedStore
from mlsession.store.buckets.listing import entry_version
from mlsession.store.keys import check_read_key
from mlsession.store.location import join_url
from mlsession.store.protocol import Entry

WEB = frozenset({"http", "https"})


class WebStore(AwaitedStore):
    """Keys below one URL, which may have a query: it goes with every request."""

    def describe(self, key: str) -> Entry:
        """What the server says of one file: RFC 9110, `Content-Length`, `ETag`, `Last-Modified`.

        Raises what `get` raises, `KeyMissing` among it.
        """
        from fsspec.asyn import sync

        check_read_key(key)
        with self._reporting(key):
            filesystem = self._open
            info = sync(filesystem.loop, _described, filesystem, self._path(key))
        size = info["size"]
        return Entry(key=key, size=size if isinstance(size, int) else 0, version=entry_version(info))

    def _path(self, key: str) -> str:
        return join_url(self._base, key)


async def _described(filesystem: object, url: str) -> Mapping[str, object]:
    """The headers of a file, as fsspec writes them; its own `info` takes every failure for a missing file."""
    session = await filesystem.set_session()  # type: ignore[attr-defined]
    options = dict(filesystem.kwargs)  # type: ignore[attr-defined]
    headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}
    encoded = filesystem.encode_url(url)  # type: ignore[attr-defined]
    async with session.head(encoded, headers=headers, **{"allow_redirects": True, **options}) as reply:
        if reply.status < 400:
            return _info(reply.headers)
    # Some do not know HEAD, or have signed URLs for GET alone.
    async with session.get(encoded, headers={**headers, "Range": "bytes=0-0"}, **options) as reply:
        if reply.status == 404:
            raise FileNotFoundError(url)
        if reply.status != 416:  # What an empty file replies to any range.
            reply.raise_for_status()
        return _info(reply.headers)


def _info(headers: Mapping[str, str]) -> dict[str, object]:
    ranged = re.fullmatch(r"bytes [^/]*/(\d+)", headers.get("Content-Range", ""))
    size = ranged[1] if ranged else headers.get("Content-Length", "")
    known = {name: headers[name] for name in ("ETag", "Last-Modified") if name in headers}
    return {"size": int(size) if size.isdecimal() else None, **known}
