"""A sample of images that is alike in its classes, and a function of (seed, contents) only; pure."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

LEAST = 2
"""Of each class so many images are taken, where it has them."""


def stratified_sample(
    labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8], share: float, salt: bytes
) -> npt.NDArray[np.bool_]:
    """bool [N]: which images to take, about `share` of those of each class.

    `digests` uint8 [N, 32] are contents. Of each class those with the least keyed hash are taken, in the order of the
    hashes: the share rounded, `LEAST` or more. So the order of the rows does not matter, and of two samples of the same
    images the larger holds the smaller.
    """
    chosen = np.zeros(len(labels), dtype=np.bool_)
    if share >= 1:
        return ~chosen
    hashes = np.array([sha256(salt + digest.tobytes()).digest()[:8] for digest in digests], dtype="S8")
    order = np.lexsort((hashes.view(">u8"), labels))
    firsts = np.searchsorted(labels[order], np.unique(labels))
    for rows in np.split(order, firsts[1:]):
        chosen[rows[: max(LEAST, round(share * len(rows)))]] = True
    return chosen
