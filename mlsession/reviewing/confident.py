"""Likely label errors by confident learning; numpy alone.

Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", Journal of
Artificial Intelligence Research 70 (2021), section 3. With out-of-fold probabilities p [N, K] and given labels:

    threshold of class j          the mean of p[x, j] over the images x given as j
    confident joint C[i, j]       images given as i whose likeliest class, of those at or above their thresholds, is j
    joint Q[i, j]                 C, its rows scaled to the images given as i, then all of it to a sum of 1
    prune by class                of those given as i, the N * sum of Q[i, j != i] with the least p[x, i]
    prune by noise rate           of those given as i, for each j != i, the N * Q[i, j] with the most p[x, j] - p[x, i]

An image is taken for an error if both name it, and if its likeliest class is another than the given one. That is the
paper's "C+NR"; of its methods it raises the fewest false alarms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.reviewing.heldout import HeldOut
from mlsession.session.phase import Array

BLOCK = 4_096
ROUNDING = 1e-6
"""A probability this much below a threshold counts as at it: both were rounded."""
MOST_VALUES = 2**25
"""Margins that are computed at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelErrors:
    """Rows whose labels are likely wrong, the likeliest first."""

    rows: npt.NDArray[np.int64]
    """[E]: places among the held-out rows."""
    suggested: npt.NDArray[np.int64]
    """[E]: the likeliest class."""
    confidence: npt.NDArray[np.float64]
    """[E]: its probability."""


def label_errors(held_out: HeldOut, num_classes: int) -> LabelErrors:
    """Finds them: three passes over the probabilities."""
    labels = held_out.labels
    truth, best, best_share = _facts(held_out)
    limits = thresholds(labels, truth, num_classes)
    counts = wrong_counts(confident_joint(held_out, limits), np.bincount(labels, minlength=num_classes))
    found = pruned_by_class(labels, truth, counts) & pruned_by_noise_rate(held_out, counts) & (best != labels)
    rows = np.flatnonzero(found)
    # By normalised margin; of equals the earlier row comes first.
    order = rows[np.argsort((truth - best_share)[rows], kind="stable")]
    return LabelErrors(rows=order, suggested=best[order], confidence=best_share[order])


def thresholds(
    labels: npt.NDArray[np.int64], truth: npt.NDArray[np.float64], num_classes: int
) -> npt.NDArray[np.float64]:
    """float64 [K]: the mean confidence in a class of the images given as it; infinite for one without images.

    `truth` float64 [N] is each image's probability of its given label.
    """
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, weights=truth, minlength=num_classes)
    limits: npt.NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    return limits


def confident_joint(held_out: HeldOut, limits: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """int64 [K, K]: images by given label, and by the class that they are confidently of."""
    joint = np.zeros((len(limits), len(limits)), dtype=np.int64)
    for places, shares in _blocks(held_out):
        confident = shares >= limits - ROUNDING
        rows = confident.any(axis=1)
        guess = np.where(confident, shares, -1.0).argmax(axis=1)
        np.add.at(joint, (held_out.labels[places][rows], guess[rows]), 1)
    return joint


def wrong_counts(joint: npt.NDArray[np.int64], class_counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [K, K]: how many images given as i are of j, as the confident joint tells; 0 on the diagonal."""
    counted = joint.astype(np.float64)
    # A class of which nothing is confident is taken at its word.
    np.fill_diagonal(counted, np.maximum(counted.diagonal(), 1.0))
    scaled = counted / counted.sum(axis=1, keepdims=True) * class_counts[:, None]
    np.fill_diagonal(scaled, 0.0)
    rounded: npt.NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    return rounded


def pruned_by_class(
    labels: npt.NDArray[np.int64], truth: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """bool [N]: of each class those with the least confidence in their label, as many as are wrong."""
    found = np.zeros(len(labels), dtype=np.bool_)
    for label, amount in enumerate(counts.sum(axis=1).tolist()):
        if amount:
            rows = np.flatnonzero(labels == label)
            found[rows[np.argsort(truth[rows], kind="stable")[:amount]]] = True
    return found


def pruned_by_noise_rate(held_out: HeldOut, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """bool [N]: for each pair of classes those with the largest margin, as many as are wrong in that way."""
    found = np.zeros(len(held_out.labels), dtype=np.bool_)
    for label in np.flatnonzero(counts.any(axis=1)).tolist():
        rows, others = np.flatnonzero(held_out.labels == label), np.flatnonzero(counts[label])
        width = max(MOST_VALUES // len(rows), 1)
        for start in range(0, len(others), width):
            columns = others[start : start + width]
            margins = _columns(held_out, rows, columns) - _columns(held_out, rows, np.array([label]))
            for column, other in enumerate(columns.tolist()):
                best = np.argsort(-margins[:, column], kind="stable")[: counts[label, other]]
                found[rows[best]] = True
    return found


def _columns(held_out: HeldOut, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Array:
    """float64 [n, C] of some rows and classes."""
    parts = [held_out.take(rows[start : start + BLOCK])[:, columns] for start in range(0, len(rows), BLOCK)]
    return np.concatenate(parts)


def _facts(
    held_out: HeldOut,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of each row its probability of the given label, the likeliest class, and the probability of that."""
    count = len(held_out.labels)
    truth, best, share = np.empty(count), np.empty(count, dtype=np.int64), np.empty(count)
    for places, shares in _blocks(held_out):
        inner = np.arange(len(shares))
        truth[places] = shares[inner, held_out.labels[places]]
        best[places] = shares.argmax(axis=1)
        share[places] = shares[inner, best[places]]
    return truth, best, share


def _blocks(held_out: HeldOut) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
    count = len(held_out.labels)
    for start in range(0, count, BLOCK):
        places = np.arange(start, min(start + BLOCK, count))
        yield places, held_out.take(places)
