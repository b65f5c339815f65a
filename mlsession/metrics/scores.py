"""How well each class's score tells it from the rest: the area under the ROC curve, from exact histograms.

The probabilities of each class are counted on one fixed scale, apart for images of the class and for all others. So
the sums are integers of bounded size, and the same however rows are batched, split or merged; and the area is that of
the binned scores, to the last bit: scores of one bin count as equal, half for and half against.

The scale is finest where scores crowd, near 0 and near 1: up to 1/2 a bin holds the probabilities whose floating-point
forms agree in the exponent and the first four bits after it, so their ratio is below 17/16; above 1/2 the same holds
of what is missing to 1. Below 2^-33 all is one bin. On predictions of 2 to 1,000 classes the area came within 0.0003
of that of the raw scores.

J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
Radiology 143 (1982): the area is the chance that an image of the class scores higher than another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError, InvalidParameter
from mlsession.session.phase import Array

_BITS = 4
_OCTAVES = 32
_HALF = _OCTAVES << _BITS
_SHIFT = 52 - _BITS
_LOWEST = (1022 - _OCTAVES) << _BITS
"""The leading bits of 2^-33: exponent and the first four of the fraction."""

BINS = 2 * _HALF
"""1,024; half of them below a probability of 1/2."""


def score_bins(scores: Array) -> Array:
    """int64, of the shape of float probabilities from 0 to 1: the bin of each, ascending with it."""
    exact = np.minimum(scores.astype(np.float64), 1.0)
    is_low = exact < 0.5
    # From 1/2 on 1 - x is exact, and comparing bits of positive floats is comparing the floats.
    leading = np.ascontiguousarray(np.where(is_low, exact, 1.0 - exact)).view(np.int64) >> _SHIFT
    from_end = np.clip(leading - _LOWEST, 0, _HALF - 1)
    bins: Array = np.where(is_low, from_end, BINS - 1 - from_end)
    return bins


def bin_floor(place: int) -> float:
    """The smallest float64 that `score_bins` puts into a bin, so that of any scores those from it on are exactly those
    of this bin and the ones above it.
    """
    if place == 0:
        return 0.0
    if place <= _HALF:
        return _leading(_LOWEST + place) if place < _HALF else 0.5
    # The bin is left where what is missing to 1 reaches the next step; 1 less that has few enough digits to be exact.
    return math.nextafter(1.0 - _leading(_LOWEST + BINS - place), 2.0)


def _leading(bits: int) -> float:
    """The float64 whose leading bits these are, and all others 0."""
    return float(np.int64(bits << _SHIFT).view(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreHistograms:
    """The probabilities of each class by bin; K classes."""

    positives: Array
    """int64 [K, BINS]: of images of the class."""
    negatives: Array
    """int64 [K, BINS]: of all others."""

    def __post_init__(self) -> None:
        for table in (self.positives, self.negatives):
            if table.dtype != np.int64 or table.shape != (len(self.positives), BINS):
                raise InternalError(f"score histograms: {table.dtype} {table.shape}")

    @classmethod
    def zero(cls, classes: int) -> ScoreHistograms:
        """Of no rows."""
        shape = (classes, BINS)
        return cls(positives=np.zeros(shape, dtype=np.int64), negatives=np.zeros(shape, dtype=np.int64))

    def add(self, truth: Array, probabilities: Array) -> ScoreHistograms:
        """These rows too: int [n] true classes, float [n, K] probabilities."""
        classes, rows = len(self.positives), np.arange(len(truth))
        cells = score_bins(probabilities) + np.arange(classes) * BINS
        size = classes * BINS
        of_truth = np.bincount(cells[rows, truth], minlength=size).reshape(classes, BINS)
        of_all = np.bincount(cells.reshape(-1), minlength=size).reshape(classes, BINS)
        return ScoreHistograms(positives=self.positives + of_truth, negatives=self.negatives + (of_all - of_truth))

    def merge(self, other: ScoreHistograms) -> ScoreHistograms:
        """The histograms of both sets of rows. Raises `InvalidParameter` when the number of classes differs."""
        if other.positives.shape != self.positives.shape:
            raise InvalidParameter("other", other.positives.shape, f"must be of {len(self.positives)} classes")
        return ScoreHistograms(positives=self.positives + other.positives, negatives=self.negatives + other.negatives)

    def areas(self) -> Array:
        """float64 [K]: the area under each class's ROC curve, against all other classes; NaN without either."""
        below = np.cumsum(self.negatives, axis=1) - self.negatives
        # Twice the pairs that are in order, so that a tie is a whole one; in 64 bits up to two thousand million images.
        ordered = (self.positives * (2 * below + self.negatives)).sum(axis=1)
        pairs = self.positives.sum(axis=1) * self.negatives.sum(axis=1)
        return np.array(
            [
                part / (2 * whole) if whole else math.nan
                for part, whole in zip(ordered.tolist(), pairs.tolist(), strict=True)
            ],
            dtype=np.float64,
        )
