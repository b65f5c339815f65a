"""What S3 does in one request, and fsspec has no call for: a page of a listing, several deletions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsession.store.buckets.listing import Page, is_for_all
from mlsession.store.failures import Failure, classify

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

S3 = frozenset({"s3", "s3a"})
"""Schemes of filesystems that these functions know how to ask."""
MOST_DELETED = 1_000
"""Keys of one request."""


def page_at(filesystem: AbstractFileSystem, folder: str, mark: str, count: int) -> Page | None:
    """Up to `count` files below the path `folder`, in the order of the service: those that `mark` stands for.

    One request. None where the service says that there are more, and not how to ask for them.
    """
    page = _page(filesystem, folder, count, {"ContinuationToken": mark} if mark else {})
    return page if page.is_last or page.mark else None


def page_after(filesystem: AbstractFileSystem, folder: str, after: str, count: int) -> Page | None:
    """Up to `count` files below the path `folder` that sort after the path `after` ("": all); one request.

    None where the service answers something else than what S3 documents for `StartAfter`
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html): directory buckets have no order.
    """
    bucket = folder.partition("/")[0]
    try:
        page = _page(filesystem, folder, count, {"StartAfter": after.removeprefix(f"{bucket}/")} if after else {})
    except Exception as error:
        if is_for_all(error):
            return None
        raise
    if not page.infos and not page.is_last:
        return None  # There are more, and nothing says after what: some gateways leave out what has been deleted.
    return page if page.follows(after) else None


def _page(filesystem: AbstractFileSystem, folder: str, count: int, options: Mapping[str, Any]) -> Page:
    bucket, prefix, _ = filesystem.split_path(folder)
    where = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
    reply = filesystem.call_s3("list_objects_v2", **where, MaxKeys=count, **options)
    contents = reply.get("Contents", [])
    return Page(
        infos={f"{bucket}/{item['Key']}": {**item, "size": item["Size"], "type": "file"} for item in contents},
        mark=reply.get("NextContinuationToken", "") if reply.get("IsTruncated") else "",
        is_last=not reply.get("IsTruncated"),
    )


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
