"""What Azure Blob Storage does in one request, and fsspec has no call for: a page of a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.store.buckets.listing import Page

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def page_at(filesystem: AbstractFileSystem, folder: str, mark: str, count: int) -> Page:
    """Up to `count` files below the path `folder`, in the order of the service: those that `mark` stands for.

    One request (https://learn.microsoft.com/rest/api/storageservices/list-blobs). Where accounts have real folders,
    the order is not that of whole paths, and nothing can be asked for by a path to begin with.
    """
    from fsspec.asyn import sync

    page: Page = sync(filesystem.loop, _page, filesystem, folder, mark, count)
    return page


async def _page(filesystem: AbstractFileSystem, folder: str, mark: str, count: int) -> Page:
    container, prefix, _ = filesystem.split_path(folder)
    async with filesystem.service_client.get_container_client(container=container) as client:
        # What stands for a folder says so in its metadata.
        blobs = client.list_blobs(
            name_starts_with=f"{prefix}/" if prefix else None, include=["metadata"], results_per_page=count
        )
        pages = blobs.by_page(continuation_token=mark or None)
        found = [blob async for blob in await anext(pages)]
        infos = await filesystem._details([blob for blob in found if not blob.name.endswith("/")])
    mark = pages.continuation_token or ""
    return Page(infos={info["name"]: info for info in infos}, mark=mark, is_last=not mark)
