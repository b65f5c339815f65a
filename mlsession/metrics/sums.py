"""Partial sums of an evaluation: small, exact, and the same however the rows are batched, split or merged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.confusion import confusion_matrix
from mlsession.session.phase import Array, PhaseState

LOSS_UNIT = 2.0**-32
"""Nats. Losses are added as whole numbers of this: integers add exactly in any order, floats do not."""
SMALLEST_PROBABILITY = 1e-15
"""A true class with a smaller probability counts as having this, so one sure mistake costs 34.5 nats, not infinity."""


def losses(truth: Array, probabilities: Array) -> list[int]:
    """-ln(probability of the true class) of each of int [n] true classes and float [n, K], rounded to `LOSS_UNIT`."""
    of_truth = probabilities[np.arange(len(truth)), truth].astype(np.float64).tolist()
    # One logarithm at a time: vector instructions may round otherwise at the end of a batch than within.
    return [round(-math.log(max(value, SMALLEST_PROBABILITY)) / LOSS_UNIT) for value in of_truth]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricSums:
    """What rows seen so far add up to; K classes."""

    confusion: Array
    """int64 [K, K]: rows by true class, columns by predicted class."""
    loss_units: int = 0
    """The sum of the rows' losses -ln(probability of the true class), each rounded to `LOSS_UNIT`."""

    def __post_init__(self) -> None:
        if self.confusion.dtype != np.int64 or self.confusion.shape != (len(self.confusion),) * 2:
            raise InternalError(f"metric sums: the confusion is {self.confusion.dtype} {self.confusion.shape}")

    @classmethod
    def zero(cls, classes: int) -> MetricSums:
        """Of no rows."""
        return cls(confusion=np.zeros((classes, classes), dtype=np.int64))

    @property
    def count(self) -> int:
        """Rows."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Rows predicted correctly."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """The share predicted correctly; NaN without rows."""
        return self.correct / self.count if self.count else math.nan

    @property
    def log_loss(self) -> float:
        """The mean loss in nats, within `LOSS_UNIT` / 2 of the exact one; NaN without rows."""
        return self.loss_units * LOSS_UNIT / self.count if self.count else math.nan

    def add(self, truth: Array, probabilities: Array) -> MetricSums:
        """These rows too: int [n] true classes, float [n, K] probabilities.

        The class with the largest probability is the predicted one, of equals the first.
        Raises `InvalidParameter` for arrays of another shape or probabilities that are not from 0 to 1.
        """
        classes = len(self.confusion)
        if probabilities.shape != (len(truth), classes) or probabilities.dtype.kind != "f":
            found = f"{probabilities.dtype} {probabilities.shape}"
            raise InvalidParameter("probabilities", found, f"must be floats [{len(truth)}, {classes}]")
        if not len(truth):
            return self
        # Written so that NaN fails too; a softmax in float32 may pass 1 by a rounding.
        if not (float(probabilities.min()) >= 0 and float(probabilities.max()) <= 1 + 1e-6):
            raise InvalidParameter("probabilities", "outside", "every probability must lie from 0 to 1")
        confusion = self.confusion + confusion_matrix(truth, probabilities.argmax(axis=1), classes)
        return MetricSums(confusion=confusion, loss_units=self.loss_units + sum(losses(truth, probabilities)))

    def merge(self, other: MetricSums) -> MetricSums:
        """The sums of both sets of rows. Raises `InvalidParameter` when the number of classes differs."""
        if other.confusion.shape != self.confusion.shape:
            raise InvalidParameter("other", other.confusion.shape, f"must be of {len(self.confusion)} classes")
        return MetricSums(confusion=self.confusion + other.confusion, loss_units=self.loss_units + other.loss_units)

    def to_phase_state(self) -> PhaseState:
        """The saved form, in memory of its own; the loss as text, since JSON's integers are exact only up to 2^53."""
        return PhaseState(arrays={"confusion": self.confusion.copy()}, data={"loss_units": str(self.loss_units)})

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> MetricSums:
        """Read `to_phase_state` back. Raises `InternalError` for another state."""
        confusion, units = state.arrays.get("confusion"), state.data.get("loss_units")
        if confusion is None or not isinstance(units, str):
            raise InternalError("metric sums: no confusion or loss_units")
        return cls(confusion=confusion, loss_units=int(units))
