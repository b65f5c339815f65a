"""From a request to a reply, without a socket.

Known are the routes that gcsfs uses: buckets; objects written in one request or in chunks, read whole or in ranges,
described, listed in pages, deleted, copied. What it does not know it refuses with 501, parameters too: a double that
overlooks a condition is worse than none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from urllib.parse import unquote

from mlsession.testing.gcs.messages import Refused, Reply, Request, read_json, read_range
from mlsession.testing.gcs.objects import Buckets
from mlsession.testing.gcs.uploads import Uploads, read_condition

MAX_PAGE = 1000
"""The most entries of one page of a listing."""

_KNOWN_PARAMETERS = frozenset(
    {
        *("alt", "delimiter", "ifGenerationMatch", "maxResults", "name", "pageToken", "prefix", "startOffset"),
        *("uploadType", "upload_id"),
        # These change nothing that this double has.
        *("project", "userProject", "projection", "prettyPrint"),
        *("predefinedAcl", "predefinedDefaultObjectAcl", "enableObjectRetention"),
    }
)


class Service:
    """The buckets, and what may be asked of them; safe for threads, one request at a time.

    `max_page` is the most entries that a page of a listing holds, whatever is asked: the real service, too, may always
    give fewer.
    """

    def __init__(self, max_page: int = MAX_PAGE) -> None:
        self._lock = threading.Lock()
        self._buckets = Buckets()
        self._uploads = Uploads(self._buckets)
        self._max_page = max_page

    def answer(self, request: Request, url: str) -> Reply:
        """What the service replies; `url` is where it can be reached, for the addresses of uploads."""
        with self._lock:
            try:
                return self._route(request, url)
            except Refused as refused:
                return refused.reply

    def _route(self, request: Request, url: str) -> Reply:
        unknown = set(request.query) - _KNOWN_PARAMETERS
        if unknown:
            raise Refused(501, "notImplemented", f"this double does not know the parameters {sorted(unknown)}")
        match (request.method, *(unquote(part) for part in request.path.strip("/").split("/"))):
            case (_, "upload", "storage", "v1", "b", bucket, "o"):
                return self._uploads.answer(bucket, request, url)
            case ("GET", "download", "storage", "v1", "b", bucket, "o", name):
                return self._download(bucket, name, request.headers)
            case (method, "storage", "v1", "b", *names) if len(names) <= 1:
                return self._bucket(method, names[0] if names else None, request.body)
            case ("GET", "storage", "v1", "b", bucket, "o"):
                return self._list(bucket, request.query)
            case ("GET", "storage", "v1", "b", bucket, "o", name):
                if request.query.get("alt") == "media":
                    return self._download(bucket, name, request.headers)
                return Reply.of_json(self._buckets.get(bucket, name).resource)
            case ("DELETE", "storage", "v1", "b", bucket, "o", name):
                self._buckets.delete(bucket, name, read_condition(request))
                return Reply(status=204)
            case ("POST", "storage", "v1", "b", bucket, "o", name, "rewriteTo", "b", other, "o", copy):
                return self._copy((bucket, name), (other, copy), read_condition(request))
        raise Refused(501, "notImplemented", f"this double does not know {request.method} {request.path}")

    def _bucket(self, method: str, name: str | None, body: bytes) -> Reply:
        match method, name:
            case "GET", None:
                items = [_bucket_resource(bucket) for bucket in self._buckets.names]
                return Reply.of_json({"kind": "storage#buckets", "items": items})
            case "POST", None:
                created = str(read_json(body).get("name"))
                self._buckets.create(created)
                return Reply.of_json(_bucket_resource(created))
            case "GET", str(bucket):
                self._buckets.objects(bucket)
                return Reply.of_json(_bucket_resource(bucket))
            case "DELETE", str(bucket):
                self._buckets.remove(bucket)
                return Reply(status=204)
        raise Refused(405, "methodNotAllowed", f"a bucket cannot be asked for {method}")

    def _download(self, bucket: str, name: str, headers: Mapping[str, str]) -> Reply:
        found = self._buckets.get(bucket, name)
        described = {"Content-Type": found.content_type, "X-Goog-Generation": str(found.generation)}
        asked = read_range(headers.get("range", ""), len(found.data))
        if asked is None:
            return Reply(status=200, headers=described, body=found.data)
        start, stop = asked
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(found.data)}"}
        return Reply(status=206, headers={**described, **place}, body=found.data[start:stop])

    def _list(self, bucket: str, query: Mapping[str, str]) -> Reply:
        asked = query.get("maxResults", "")
        page = self._buckets.list(
            bucket,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            token=query.get("pageToken"),
            start=query.get("startOffset", ""),
            limit=min(self._max_page, int(asked)) if asked.isdecimal() and int(asked) else self._max_page,
        )
        listing: dict[str, object] = {"kind": "storage#objects"}
        if page.objects:
            listing["items"] = [found.resource for found in page.objects]
        if page.prefixes:
            listing["prefixes"] = page.prefixes
        if page.next_token:
            listing["nextPageToken"] = page.next_token
        return Reply.of_json(listing)

    def _copy(self, source: tuple[str, str], target: tuple[str, str], condition: int | None) -> Reply:
        found = self._buckets.get(*source)
        written = self._buckets.write(
            *target,
            found.data,
            content_type=found.content_type,
            metadata=found.metadata,
            if_generation_match=condition,
        )
        size = str(len(found.data))
        done = {"kind": "storage#rewriteResponse", "done": True, "objectSize": size, "totalBytesRewritten": size}
        return Reply.of_json({**done, "resource": written.resource})


def _bucket_resource(name: str) -> dict[str, object]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "US", "storageClass": "STANDARD"}
