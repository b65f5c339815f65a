"""Which images are others than they were recorded: another content, not another time stamp."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from mlsession.data.ahead import worked_ahead
from mlsession.data.index import ImageIndex


def replaced_keys(
    keys: Sequence[str],
    recorded: ImageIndex,
    found: ImageIndex,
    read: Callable[[str], bytes],
    digest_of: Callable[[int], bytes | None],
) -> Iterator[str]:
    """Of some images that are in both indexes (`keys`), those whose content is another one now, in order.

    One of the same size is read and hashed; `digest_of` gives the SHA-256 that its content had by its row in
    `recorded`, or None for a row that nobody has looked at yet, which counts as unchanged.
    """
    if not keys:
        return
    rows, now = recorded.rows_of(keys), found.rows_of(keys)
    resized = (recorded.sizes[rows] != found.sizes[now]).tolist()
    before = [None if other else digest_of(row) for row, other in zip(rows.tolist(), resized, strict=True)]
    looked_at = [key for key, digest in zip(keys, before, strict=True) if digest is not None]
    digests = worked_ahead(lambda key: hashlib.sha256(read(key)).digest(), looked_at)
    for key, other, digest in zip(keys, resized, before, strict=True):
        if other or (digest is not None and next(digests) != digest):
            yield key
