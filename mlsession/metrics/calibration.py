"""Whether confidence can be taken at its word.

The expected calibration error with 15 bins of equal width: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On
calibration of modern neural networks", ICML 2017. A bin holds its lower end, the last one also 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.metrics.intervals import Interval, wilson_interval
from mlsession.session.phase import Array

CONFIDENCE_BINS = 15
CONFIDENCE_UNIT = 2.0**-32
"""Confidences are added as whole numbers of this: integers add exactly in any order, floats do not."""


def calibration_table(confidence: Array, correct: Array) -> Array:
    """int64 [15, 3] of float [n] confidences from 0 to 1 and bool [n]: images, correct ones, and their confidences'
    sum in `CONFIDENCE_UNIT`, by bin.
    """
    exact = np.minimum(confidence.astype(np.float64), 1.0)
    bins = np.minimum((exact * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    table = np.zeros((CONFIDENCE_BINS, 3), dtype=np.int64)
    units = np.rint(exact / CONFIDENCE_UNIT).astype(np.int64)
    np.add.at(table, bins, np.stack([np.ones_like(bins), correct.astype(np.int64), units], axis=1))
    return table


def expected_calibration_error(table: Array) -> float:
    """The mean, over images, of how far their bin's confidence lies from its accuracy; NaN without images."""
    count = int(table[:, 0].sum())
    gaps = np.abs(table[:, 2] * CONFIDENCE_UNIT - table[:, 1])
    return math.fsum(gaps.tolist()) / count if count else math.nan


def maximum_calibration_error(table: Array) -> float:
    """How far confidence lies from accuracy in the bin where it does so most, however few its images; NaN without any.

    The same paper's. With few images in each bin it says little: `reliability_bins` has the intervals.
    """
    some = table[table[:, 0] > 0]
    gaps = np.abs(some[:, 2] * CONFIDENCE_UNIT - some[:, 1]) / some[:, 0]
    return float(gaps.max()) if len(some) else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Images whose confidence lies in one range."""

    low: float
    high: float
    """From `low` on, and below `high`; the last one also holds 1."""
    count: int
    correct: int
    confidence: float
    """The mean, 0 to 1; NaN without images."""

    @property
    def accuracy(self) -> float:
        """The share predicted correctly; NaN without images."""
        return self.correct / self.count if self.count else math.nan

    @property
    def accuracy_interval(self) -> Interval:
        """The accuracy's 95 % interval (Wilson)."""
        return wilson_interval(self.correct, self.count)


def reliability_bins(table: Array) -> tuple[ReliabilityBin, ...]:
    """The bins of a `calibration_table`, those without images too."""
    return tuple(
        ReliabilityBin(
            low=place / CONFIDENCE_BINS,
            high=(place + 1) / CONFIDENCE_BINS,
            count=count,
            correct=correct,
            confidence=units * CONFIDENCE_UNIT / count if count else math.nan,
        )
        for place, (count, correct, units) in enumerate(table.tolist())
    )
