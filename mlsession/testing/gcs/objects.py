"""Buckets and objects in memory."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from mlsession.testing.gcs.messages import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object as it was written; a write makes a new one."""

    bucket: str
    name: str
    data: bytes = field(repr=False)
    content_type: str
    metadata: Mapping[str, str]
    generation: int
    """Another number for every write to any name."""
    written: datetime

    @property
    def resource(self) -> dict[str, object]:
        """The object as the service describes it. Source: JSON API reference, "Objects", "Resource representation"."""
        digest = hashlib.md5(self.data, usedforsecurity=False).digest()
        time = self.written.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "storageClass": "STANDARD",
            "size": str(len(self.data)),
            "md5Hash": base64.b64encode(digest).decode(),
            "etag": base64.b64encode(b"%d/1" % self.generation).decode(),
            "timeCreated": time,
            "updated": time,
            **({"metadata": dict(self.metadata)} if self.metadata else {}),
        }


class Page(NamedTuple):
    """A part of a listing."""

    objects: list[StoredObject]
    prefixes: list[str]
    next_token: str | None


class Buckets:
    """All buckets of one server. Not safe for threads by itself: `Service` lets in one request at a time."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, StoredObject]] = {}
        self._generations = itertools.count(1)

    @property
    def names(self) -> list[str]:
        return sorted(self._buckets)

    def create(self, bucket: str) -> None:
        """Raises `Refused` (409) where it exists."""
        if bucket in self._buckets:
            raise Refused(409, "conflict", "Your previous request to create the named bucket succeeded.")
        self._buckets[bucket] = {}

    def remove(self, bucket: str) -> None:
        """Raises `Refused`: 404 where there is none, 409 where it is not empty."""
        if self.objects(bucket):
            raise Refused(409, "conflict", "The bucket you tried to delete is not empty.")
        del self._buckets[bucket]

    def objects(self, bucket: str) -> dict[str, StoredObject]:
        """The objects of a bucket by name. Raises `Refused` (404)."""
        try:
            return self._buckets[bucket]
        except KeyError:
            raise Refused(404, "notFound", "The specified bucket does not exist.") from None

    def get(self, bucket: str, name: str) -> StoredObject:
        """Raises `Refused` (404)."""
        try:
            return self.objects(bucket)[name]
        except KeyError:
            raise Refused(404, "notFound", f"No such object: {bucket}/{name}") from None

    def check(self, bucket: str, name: str, generation: int | None) -> None:
        """Raise `Refused` (412) unless an object is the one of that generation; 0: unless there is none."""
        found = self.objects(bucket).get(name)
        if generation is not None and generation != (found.generation if found else 0):
            message = "At least one of the pre-conditions you specified did not hold."
            raise Refused(412, "conditionNotMet", message)

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        if_generation_match: int | None = None,
    ) -> StoredObject:
        """Checks the condition and writes. Raises `Refused` (404, 412)."""
        self.check(bucket, name, if_generation_match)
        written = StoredObject(
            bucket=bucket,
            name=name,
            data=data,
            content_type=content_type,
            metadata=dict(metadata or {}),
            generation=next(self._generations),
            written=datetime.now(UTC),
        )
        self.objects(bucket)[name] = written
        return written

    def delete(self, bucket: str, name: str, if_generation_match: int | None = None) -> None:
        """Raises `Refused` (404, 412)."""
        self.get(bucket, name)
        self.check(bucket, name, if_generation_match)
        del self.objects(bucket)[name]

    def list(self, bucket: str, *, prefix: str, delimiter: str, token: str | None, start: str, limit: int) -> Page:
        """Names that start with `prefix`, in the order of their UTF-8 bytes, from `start` on and after `token`, at most
        `limit`.

        What has `delimiter` behind the prefix is given once, up to the delimiter, among the prefixes.
        """
        found: dict[str, StoredObject | None] = {}
        for name, stored in self.objects(bucket).items():
            if name.startswith(prefix) and name.encode() >= start.encode():
                cut = name.find(delimiter, len(prefix)) if delimiter else -1
                found[name[: cut + len(delimiter)] if cut >= 0 else name] = stored if cut < 0 else None
        after = _from_token(token)
        keys = sorted((key for key in found if key.encode() > after), key=str.encode)
        page = keys[:limit]
        return Page(
            objects=[one for key in page if (one := found[key]) is not None],
            prefixes=[key for key in page if found[key] is None],
            next_token=base64.urlsafe_b64encode(page[-1].encode()).decode() if len(keys) > limit else None,
        )


def _from_token(token: str | None) -> bytes:
    try:
        return base64.urlsafe_b64decode(token or "")
    except ValueError:
        raise Refused(400, "invalid", "Invalid value for pageToken") from None
