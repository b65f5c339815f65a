"""Whether confidence can be taken at its word.

The expected calibration error with 15 bins of equal width: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On
calibration of modern neural networks", ICML 2017. A bin holds its lower end, the last one also 1.
"""

from __future__ import annotations

import math

import numpy as np

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


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, after E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927); NaN without images.
    """
    if not count:
        return math.nan, math.nan
    z = 1.959963984540054
    share, spread = correct / count, z * z / count
    centre = share + spread / 2
    reach = z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max((centre - reach) / (1 + spread), 0.0), min((centre + reach) / (1 + spread), 1.0)
