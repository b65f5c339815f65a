"""Which classes are taken for which: an int64 matrix [K, K], true classes by row, predicted ones by column."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def macro_average(figures: Array, confusion: Array) -> float:
    """The mean of float [K] figures over the classes that occur, true or predicted; an undefined figure counts as 0.

    So do scikit-learn's `average="macro"` and its default for divisions by zero. NaN without images.
    """
    occurs = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    return float(np.nan_to_num(figures[occurs], nan=0.0).mean()) if occurs.any() else math.nan


def weighted_average(figures: Array, confusion: Array) -> float:
    """The mean of float [K] figures over images by their true class; an undefined figure counts as 0.

    So does scikit-learn's `average="weighted"`. NaN without images.
    """
    counts = confusion.sum(axis=1)
    total = int(counts.sum())
    return float((np.nan_to_num(figures, nan=0.0) * counts).sum()) / total if total else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """A mistake that is made: images of one class predicted as another."""

    label: str
    """Their true label."""
    predicted: str
    count: int
    share: float
    """Of the images with that label, 0 to 1."""

    def to_json(self) -> dict[str, str | int | float]:
        return {"label": self.label, "predicted": self.predicted, "count": self.count, "share": self.share}


def top_confusions(confusion: Array, classes: tuple[str, ...], count: int) -> tuple[Confusion, ...]:
    """The `count` commonest mistakes, commonest first; of equally common ones in the order of the classes."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    places = np.flatnonzero(wrong)
    order = places[np.argsort(-wrong.reshape(-1)[places], kind="stable")][: max(count, 0)]
    pairs = [divmod(place, len(classes)) for place in order.tolist()]
    of_class = confusion.sum(axis=1)
    return tuple(
        Confusion(
            label=classes[truth],
            predicted=classes[predicted],
            count=int(wrong[truth, predicted]),
            share=int(wrong[truth, predicted]) / int(of_class[truth]),
        )
        for truth, predicted in pairs
    )


def _ratio(part: Array, whole: Array) -> Array:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
