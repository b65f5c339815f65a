"""Objects on their way in: in one request, or chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from mlsession.testing.gcs.messages import Refused, Reply, Request, read_chunk, read_json, read_multipart
from mlsession.testing.gcs.objects import Buckets

CHUNK_BYTES = 256 * 2**10
"""All chunks of a resumable upload but the last hold a multiple of this."""

CANCELLED = 499
"""What the service answers when an upload is given up at the client's wish."""


@dataclass(slots=True, kw_only=True)
class _Resumable:
    """An upload that is going on."""

    name: str
    content_type: str
    metadata: Mapping[str, str]
    if_generation_match: int | None
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """Takes uploads to the buckets; not safe for threads by itself."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._open: dict[tuple[str, str], _Resumable] = {}
        self._numbers = itertools.count(1)

    def answer(self, bucket: str, request: Request, url: str) -> Reply:
        """One request to the upload address of a bucket; `url` is the server's. Raises `Refused`."""
        self._buckets.objects(bucket)
        if "upload_id" in request.query:
            return self._continue((bucket, request.query["upload_id"]), request)
        condition = read_condition(request)
        kind = request.query.get("uploadType")
        if request.method == "POST" and kind == "multipart":
            return self._at_once(bucket, request, condition)
        if request.method == "POST" and kind == "resumable":
            return self._begin(bucket, request, condition, url)
        raise Refused(501, "notImplemented", f"this double does not know {request.method} with uploadType={kind!r}")

    def _at_once(self, bucket: str, request: Request, condition: int | None) -> Reply:
        parts = read_multipart(request.headers.get("content-type", ""), request.body)
        if len(parts) != 2:
            raise Refused(400, "badContent", f"a multipart upload has two parts, not {len(parts)}")
        described = read_json(parts[0].content)
        written = self._buckets.write(
            bucket,
            str(request.query.get("name") or described.get("name")),
            parts[1].content,
            content_type=parts[1].content_type,
            metadata=_metadata(described),
            if_generation_match=condition,
        )
        return Reply.of_json(written.resource)

    def _begin(self, bucket: str, request: Request, condition: int | None, url: str) -> Reply:
        described = read_json(request.body)
        name = str(request.query.get("name") or described.get("name"))
        number = f"upload-{next(self._numbers)}"
        self._open[bucket, number] = _Resumable(
            name=name,
            content_type=request.headers.get("x-upload-content-type", "application/octet-stream"),
            metadata=_metadata(described),
            if_generation_match=condition,
        )
        query = {"uploadType": "resumable", "name": name, "upload_id": number}
        if condition is not None:
            query["ifGenerationMatch"] = str(condition)
        address = f"{url}/upload/storage/v1/b/{quote(bucket, safe='')}/o?{urlencode(query)}"
        return Reply(status=200, headers={"Location": address})

    def _continue(self, which: tuple[str, str], request: Request) -> Reply:
        upload = self._open.get(which)
        if upload is None:
            raise Refused(404, "notFound", "There is no such upload.")
        if request.method == "DELETE":
            del self._open[which]
            return Reply(status=CANCELLED)
        chunk = read_chunk(request.headers, len(request.body))
        if chunk.start is not None:
            if chunk.start > len(upload.data):
                raise Refused(503, "backendError", f"Invalid request. Expected bytes from {len(upload.data)} on.")
            if chunk.total != chunk.stop and len(request.body) % CHUNK_BYTES:
                raise Refused(400, "invalid", f"A chunk that is not the last holds a multiple of {CHUNK_BYTES} bytes.")
            # What came already is not taken again.
            upload.data += request.body[len(upload.data) - chunk.start :]
        if chunk.total is None or len(upload.data) < chunk.total:
            seen = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            return Reply(status=308, headers=seen)
        # The condition is kept here, in the step that writes. Whoever lost may still give the upload up.
        written = self._buckets.write(
            which[0],
            upload.name,
            bytes(upload.data),
            content_type=upload.content_type,
            metadata=upload.metadata,
            if_generation_match=upload.if_generation_match,
        )
        del self._open[which]
        return Reply.of_json(written.resource)


def read_condition(request: Request) -> int | None:
    """The generation that the object must have (0: there must be none), or None. Raises `Refused`."""
    text = request.query.get("ifGenerationMatch")
    if text is not None and not text.isdecimal():
        raise Refused(400, "invalid", f"Invalid value {text!r} for ifGenerationMatch")
    return None if text is None else int(text)


def _metadata(described: Mapping[str, object]) -> dict[str, str]:
    found = described.get("metadata")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
