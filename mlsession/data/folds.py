"""Folds for out-of-fold predictions: alike in their classes, and no picture in one with a copy of it in another."""

from __future__ import annotations

from collections import defaultdict
from hashlib import sha256

import numpy as np
import numpy.typing as npt

FOLDS = 5


def fold_of(
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    digests: npt.NDArray[np.uint8],
    salt: bytes,
    folds: int = FOLDS,
) -> npt.NDArray[np.int64]:
    """int64 [N]: the fold of each row, from 0.

    `groups` int64 [N] gives rows that must stay together the same number; `digests` uint8 [N, 32] are contents. The
    groups of a class are put in the order of a keyed hash of the least content in each, whose label is that of the
    group, and dealt to the fold that has the fewest rows of that class by then. So folds follow from the seed, the
    contents and the labels, and not from the order of the rows.
    """
    order = np.lexsort((np.arange(len(groups)), groups))
    starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]]) if len(order) else order
    members = np.split(order, starts[1:])
    by_class: defaultdict[int, list[tuple[bytes, npt.NDArray[np.int64]]]] = defaultdict(list)
    for rows in members:
        least, label = min((digests[row].tobytes(), int(labels[row])) for row in rows.tolist())
        by_class[label].append((sha256(salt + least).digest(), rows))
    chosen = np.zeros(len(labels), dtype=np.int64)
    for label in sorted(by_class):
        counts = [0] * folds
        # Each class begins at another fold: else the first one would be the largest.
        for _, rows in sorted(by_class[label], key=lambda item: item[0]):
            fold = min(range(folds), key=lambda each: (counts[each], (each - label) % folds))
            counts[fold] += len(rows)
            chosen[rows] = fold
    return chosen


def judged_classes(labels: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], num_classes: int) -> list[bool]:
    """Which classes lie in two folds or more: of the others no head that has not seen an image knows its class."""
    return [len(np.unique(folds[labels == label])) > 1 for label in range(num_classes)]
