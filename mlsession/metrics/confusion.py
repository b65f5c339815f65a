"""Which classes are taken for which: an int64 matrix [K, K], true classes by row, predicted ones by column."""

from __future__ import annotations

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Array


def confusion_matrix(truth: Array, predicted: Array, classes: int) -> Array:
    """int64 [K, K] of int [N] true and predicted classes, each from 0 to K - 1.

    Raises `InvalidParameter` for arrays of another shape or dtype, or a class outside.
    """
    for name, column in (("truth", truth), ("predicted", predicted)):
        if column.shape != (len(truth),) or column.dtype.kind not in "iu":
            raise InvalidParameter(name, f"{column.dtype} {column.shape}", f"must be integers [{len(truth)}]")
        if len(column) and not (int(column.min()) >= 0 and int(column.max()) < classes):
            raise InvalidParameter(name, (int(column.min()), int(column.max())), f"must lie from 0 to {classes - 1}")
    cells = truth.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def precisions(confusion: Array) -> Array:
    """float64 [K]: of the rows predicted as a class, the share that is of it; NaN for a class never predicted."""
    return _ratio(np.diagonal(confusion), confusion.sum(axis=0))


def recalls(confusion: Array) -> Array:
    """float64 [K]: of the rows of a class, the share predicted as it; NaN for a class without rows."""
    return _ratio(np.diagonal(confusion), confusion.sum(axis=1))


def f1_scores(confusion: Array) -> Array:
    """float64 [K]: 2 TP / (2 TP + FP + FN); NaN for a class that is neither true nor predicted anywhere."""
    return _ratio(2 * np.diagonal(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def _ratio(part: Array, whole: Array) -> Array:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
