"""What Google Cloud Storage does in one request, and fsspec has no call for: a page of a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.store.buckets.listing import Page, is_for_all

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MOST_LISTED = 1_000
"""Objects of one page: what the service recommends as the most."""


def page_at(filesystem: AbstractFileSystem, folder: str, mark: str, count: int) -> Page:
    """Up to `count` files below the path `folder`, in the order of the service: those that `mark` stands for.

    One request (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
    """
    return _page(filesystem, folder, mark, count)


def page_after(filesystem: AbstractFileSystem, folder: str, after: str, count: int) -> Page | None:
    """Up to `count` files below the path `folder` that sort after the path `after` ("": all).

    Mostly one request. None where the service lists in another order than that of `startOffset`, or does not know it.
    """
    first, mark = after.partition("/")[2], ""
    while True:
        try:
            # The name to begin with is one of those that are given.
            found = _page(filesystem, folder, mark, count + bool(first), first)
        except Exception as error:
            if is_for_all(error):
                return None
            raise
        infos = {path: info for path, info in found.infos.items() if path != after}
        page = Page(infos=infos, mark=found.mark, is_last=found.is_last)
        if not page.follows(after):
            return None
        if page.infos or page.is_last:
            return page
        mark = page.mark  # A page may be empty though others follow it.


def _page(filesystem: AbstractFileSystem, folder: str, mark: str, count: int, first: str = "") -> Page:
    from fsspec.asyn import sync

    bucket, prefix, _ = filesystem.split_path(folder)
    asked = {"prefix": f"{prefix}/" if prefix else "", "startOffset": first, "pageToken": mark}
    options = {name: value for name, value in asked.items() if value}
    reply = sync(
        filesystem.loop,
        filesystem._call,
        "GET",
        "b/{}/o",
        bucket,
        json_out=True,
        maxResults=min(count, MOST_LISTED),
        **options,
    )
    infos = [{**item, "size": int(item.get("size", 0)), "type": "file"} for item in reply.get("items", [])]
    mark = reply.get("nextPageToken") or ""
    return Page(infos={f"{bucket}/{info['name']}": info for info in infos}, mark=mark, is_last=not mark)
