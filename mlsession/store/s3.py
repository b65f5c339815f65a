"""What S3 does in one request, and fsspec has no call for: a page of a listing from the middle, several deletions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsession.store.failures import Failure, classify

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

S3 = frozenset({"s3", "s3a"})
"""Schemes of filesystems that these functions know how to ask."""
MOST_DELETED = 1_000
"""Keys of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some files in the order of their paths."""

    infos: Mapping[str, Mapping[str, object]]
    """What fsspec would say of each, by path."""
    last: str
    """The path of the last one; "" for none."""
    is_last: bool
    """Whether no files follow."""


def page_after(filesystem: AbstractFileSystem, folder: str, after: str, count: int) -> Page | None:
    """Up to `count` files below the path `folder` that sort after the path `after` ("": all); one request.

    None where the service answers something else than what S3 documents for `StartAfter`
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html): directory buckets have no order.
    """
    bucket, prefix, _ = filesystem.split_path(folder)
    options = {"StartAfter": after.removeprefix(f"{bucket}/")} if after else {}
    try:
        reply = filesystem.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=count, **options
        )
    except Exception as error:
        if isinstance(error, FileNotFoundError) or classify(error) is Failure.OTHER:
            return None
        raise
    contents = reply.get("Contents", [])
    if reply.get("IsTruncated") and not contents:
        return None  # There are more, and nothing says after what: some gateways leave out what has been deleted.
    infos = {f"{bucket}/{item['Key']}": {**item, "size": item["Size"], "type": "file"} for item in contents}
    paths = list(infos)
    if paths != sorted(paths) or (paths and paths[0] <= after):
        return None
    return Page(infos=infos, last=paths[-1] if paths else "", is_last=not reply.get("IsTruncated"))


def delete_objects(filesystem: AbstractFileSystem, paths: Sequence[str]) -> bool:
    """Removes up to `MOST_DELETED` files of one bucket; missing ones are no error.

    False if not all of them are gone for sure, be it that the service does not know this request
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html).
    """
    split = [filesystem.split_path(path) for path in paths]
    objects = [{"Key": key} for _, key, _ in split]
    try:
        reply = filesystem.call_s3("delete_objects", Bucket=split[0][0], Delete={"Objects": objects, "Quiet": True})
    except Exception as error:
        if classify(error) is Failure.OTHER:
            return False
        raise
    return not reply.get("Errors")
