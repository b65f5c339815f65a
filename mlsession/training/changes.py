"""Did the data change since the session was made? Only another content is a change, not another time stamp."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from mlsession.data.index import ImageIndex
from mlsession.errors import ModifiedTrainingData

_CURE = (
    "put the data back as they were, take the changes on with on_modified_data='update' (--on-modified-data update), "
    "or train in a new session folder"
)


def check_unchanged(
    recorded: ImageIndex,
    found: ImageIndex,
    read: Callable[[str], bytes],
    digest_of: Callable[[int], bytes | None],
) -> None:
    """Raises `ModifiedTrainingData` if the listing of today holds other images than the recorded one.

    An image of another version and the same size is read and hashed: it counts as replaced if its content differs
    from what was extracted. `digest_of` gives that content's SHA-256 by row, or None for a row not extracted yet.
    """
    change = recorded.compare(found)
    replaced = tuple(_replaced(change.replaced, recorded, found, read, digest_of))
    if change.added or change.removed or change.relabeled or replaced:
        raise ModifiedTrainingData(change.added, change.removed, change.relabeled, replaced, _CURE)


def _replaced(
    keys: Iterable[str],
    recorded: ImageIndex,
    found: ImageIndex,
    read: Callable[[str], bytes],
    digest_of: Callable[[int], bytes | None],
) -> Iterable[str]:
    if not keys:
        return
    before = {key: row for row, key in enumerate(recorded.keys)}
    now = {key: row for row, key in enumerate(found.keys)}
    for key in keys:
        row = before[key]
        if recorded.sizes[row] != found.sizes[now[key]]:
            yield key
            continue
        extracted = digest_of(row)
        if extracted is not None and hashlib.sha256(read(key)).digest() != extracted:
            yield key
