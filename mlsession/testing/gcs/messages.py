"""What goes over the wire, as values; pure.

Source: the JSON API reference of Google Cloud Storage (objects: insert, get, list, delete, rewrite; resumable uploads;
HTTP status and error codes), and the requests that gcsfs sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    """As it was sent: a "/" in an object's name is "%2F"."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> Reply:
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        return cls(status=status, headers=headers, body=json.dumps(value).encode())


LOSE_REPLY: Final = Reply(status=0)
"""No reply: what was asked is done, and then the connection is closed without a word."""


class Refused(Exception):
    """The service says no: an HTTP status, the service's own word for the reason, and a sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def reply(self) -> Reply:
        """The same in the form that the service gives all its errors."""
        one = {"message": self.message, "domain": "global", "reason": self.reason}
        return Reply.of_json({"error": {"code": self.status, "message": self.message, "errors": [one]}}, self.status)


def read_json(body: bytes) -> dict[str, object]:
    """The object that a body holds. Raises `Refused`."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "parseError", "Parse Error")
    return found


class Part(NamedTuple):
    """One part of a multipart body."""

    content_type: str
    content: bytes


def read_multipart(content_type: str, body: bytes) -> list[Part]:
    """The parts of a multipart/related body; lines end in CRLF, or in LF alone as gcsfs sends them.

    Raises `Refused`.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or header.get_content_type() != "multipart/related":
        raise Refused(400, "badContent", f"a multipart upload cannot be {content_type!r}")
    delimiter = f"--{boundary}".encode()
    newline = b"\r\n" if body.startswith(delimiter + b"\r\n") else b"\n"
    before, *parts, end = (newline + body).split(newline + delimiter)
    if before or end.strip() != b"--":
        raise Refused(400, "badContent", "the multipart body has no end")
    return [_part(part, newline) for part in parts]


def _part(text: bytes, newline: bytes) -> Part:
    head, _, content = text.partition(newline * 2)
    for line in head.split(newline):
        name, _, value = line.decode("latin-1").partition(":")
        if name.strip().lower() == "content-type":
            return Part(value.strip(), content)
    return Part("application/octet-stream", content)


class Chunk(NamedTuple):
    """Which bytes of an object a chunk holds: `start` to `stop` (exclusive) of `total`, where that is known."""

    start: int | None
    """None: no bytes are sent; the request asks how far the upload is, or ends it."""
    stop: int
    total: int | None


_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def read_chunk(headers: Mapping[str, str], size: int) -> Chunk:
    """What a request of `size` bytes says of its place; without Content-Range it is the whole. Raises `Refused`."""
    text = headers.get("content-range")
    if text is None:
        return Chunk(0, size, size)
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise Refused(400, "invalid", f"Failed to parse Content-Range header {text!r}.")
    first, last, total = (int(group) if group is not None else None for group in match.groups())
    if first is None or last is None:
        return Chunk(None, 0, total)
    if last + 1 - first != size or (total is not None and last >= total):
        raise Refused(400, "invalid", f"{size} bytes do not fit Content-Range {text!r}.")
    return Chunk(first, last + 1, total)


def read_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and stop (exclusive) of a Range header on `size` bytes; None where the header is no single range.

    Raises `Refused` (416) for a range that holds none of the bytes, which in an empty object is every range.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= stop:
        raise Refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    return start, stop
