"""Which images are others than they were recorded: another content, not another time stamp."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mlsession.data.ahead import worked_ahead
from mlsession.data.index import ImageIndex
from mlsession.data.texts import Texts


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
    rows = recorded.rows_of(keys)
    resized = recorded.sizes[rows] != found.sizes[found.rows_of(keys)]
    known = np.fromiter((digest_of(row) is not None for row in rows.tolist()), dtype=np.bool_, count=len(rows))
    looked_at = Texts.of(keys).take(np.flatnonzero(known & ~resized))
    digests = worked_ahead(lambda key: hashlib.sha256(read(key)).digest(), looked_at)
    for key, row, is_known, other in zip(keys, rows.tolist(), known.tolist(), resized.tolist(), strict=True):
        if other or (is_known and next(digests) != digest_of(row)):
            yield key


def keys_in_both(recorded: ImageIndex, found: ImageIndex, but: Sequence[str] = ()) -> Texts:
    """The keys of both indexes, ascending, without those of `but`."""
    keys = Texts.of(recorded.keys)
    chosen = found.rows_of(keys) >= 0
    places = recorded.rows_of(but)
    chosen[places[places >= 0]] = False
    return keys.take(np.flatnonzero(chosen))


def with_new_versions(recorded: ImageIndex, found: ImageIndex, replaced: Sequence[str]) -> ImageIndex:
    """`found`, but images that were replaced unseen (`replaced`, of the same version in both) have another version.

    Else their index would be that of before, and what was made of them would still count.
    """
    keys = [key for key, row in zip(replaced, found.rows_of(replaced).tolist(), strict=True) if row >= 0]
    rows, before = found.rows_of(keys).tolist(), recorded.rows_of(keys).tolist()
    unseen = {row for row, old in zip(rows, before, strict=True) if found.versions[row] == recorded.versions[old]}
    if not unseen:
        return found
    versions = (f"{version}, replaced" if row in unseen else version for row, version in enumerate(found.versions))
    return replace(found, versions=Texts.of(versions))
