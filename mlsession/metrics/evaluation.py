"""All that an evaluation adds up: small, exact, and the same however the rows are batched, split or merged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError
from mlsession.metrics.calibration import CONFIDENCE_BINS, calibration_table
from mlsession.metrics.ranks import true_ranks
from mlsession.metrics.scores import BINS, ScoreHistograms, score_bins
from mlsession.metrics.sparse import dense_table, sparse_arrays
from mlsession.metrics.sums import LOSS_UNIT, MetricSums, losses
from mlsession.session.phase import Array, Json, PhaseState

BRIER_UNIT = 2.0**-40
"""Squares of probabilities are added as whole numbers of this, as losses are."""
WHOLE_NUMBERS = ("loss_units", "loss_squares", "brier_units")
"""Sums that are kept as text, since JSON's integers are exact only up to 2^53."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationSums:
    """What rows seen so far add up to; K classes.

    `MetricSums` is the part that is cheap enough for each iteration of a training.
    """

    basic: MetricSums
    ranks: Array
    """int64 [K]: rows by the rank of their true class; see `true_ranks`."""
    calibration: Array
    """int64 [15, 3]; see `calibration_table`."""
    scores: ScoreHistograms
    confidence: Array
    """int64 [2, 1024]: images predicted wrongly and rightly, by `score_bins` of the largest probability."""
    loss_squares: int = 0
    """The sum of the squares of the rows' losses, each in `LOSS_UNIT`."""
    brier_units: int = 0
    """The sum over rows and classes of (probability - (1 for the true class, else 0)) ^ 2, each in `BRIER_UNIT`."""

    def __post_init__(self) -> None:
        classes = len(self.basic.confusion)
        for table, shape in (
            (self.ranks, (classes,)),
            (self.calibration, (CONFIDENCE_BINS, 3)),
            (self.confidence, (2, BINS)),
        ):
            if table.dtype != np.int64 or table.shape != shape:
                raise InternalError(f"evaluation sums: {table.dtype} {table.shape} in place of int64 {shape}")

    @classmethod
    def zero(cls, classes: int) -> EvaluationSums:
        """Of no rows."""
        return cls(
            basic=MetricSums.zero(classes),
            ranks=np.zeros(classes, dtype=np.int64),
            calibration=np.zeros((CONFIDENCE_BINS, 3), dtype=np.int64),
            scores=ScoreHistograms.zero(classes),
            confidence=np.zeros((2, BINS), dtype=np.int64),
        )

    @property
    def count(self) -> int:
        """Rows."""
        return self.basic.count

    @property
    def accuracy(self) -> float:
        """The share predicted correctly; NaN without rows."""
        return self.basic.accuracy

    @property
    def loss_deviation(self) -> float:
        """The standard deviation of the rows' losses, in nats, with n - 1 below; NaN for fewer than 2 rows."""
        if self.count < 2:
            return math.nan
        # Whole numbers of any size: nothing is lost where the two terms are almost the same.
        spread = self.count * self.loss_squares - self.basic.loss_units**2
        return math.sqrt(spread / (self.count * (self.count - 1))) * LOSS_UNIT

    @property
    def brier_score(self) -> float:
        """The mean over rows of the squared errors of all classes' probabilities, 0 to 2; NaN without rows."""
        return self.brier_units * BRIER_UNIT / self.count if self.count else math.nan

    def add(self, truth: Array, probabilities: Array) -> EvaluationSums:
        """These rows too: int [n] true classes, float [n, K] probabilities. Raises `InvalidParameter`."""
        basic = self.basic.add(truth, probabilities)
        if not len(truth):
            return self
        ranks = true_ranks(truth, probabilities)
        best = probabilities.max(axis=1)
        cells = (ranks == 0) * BINS + score_bins(best)
        units = losses(truth, probabilities)
        return EvaluationSums(
            basic=basic,
            ranks=self.ranks + np.bincount(ranks, minlength=len(self.ranks)),
            calibration=self.calibration + calibration_table(best, ranks == 0),
            scores=self.scores.add(truth, probabilities),
            confidence=self.confidence + np.bincount(cells, minlength=2 * BINS).reshape(2, BINS),
            loss_squares=self.loss_squares + sum(loss * loss for loss in units),
            brier_units=self.brier_units + _squared_errors(truth, probabilities),
        )

    def merge(self, other: EvaluationSums) -> EvaluationSums:
        """The sums of both sets of rows. Raises `InvalidParameter` when the number of classes differs."""
        return EvaluationSums(
            basic=self.basic.merge(other.basic),
            ranks=self.ranks + other.ranks,
            calibration=self.calibration + other.calibration,
            scores=self.scores.merge(other.scores),
            confidence=self.confidence + other.confidence,
            loss_squares=self.loss_squares + other.loss_squares,
            brier_units=self.brier_units + other.brier_units,
        )

    def to_phase_state(self) -> PhaseState:
        """The saved form, in memory of its own; tables that are mostly zero as `sparse_arrays`."""
        basic = self.basic.to_phase_state()
        arrays = {
            **sparse_arrays("confusion", self.basic.confusion),
            **sparse_arrays("positives", self.scores.positives),
            **sparse_arrays("negatives", self.scores.negatives),
            **sparse_arrays("confidence", self.confidence),
            "ranks": self.ranks.copy(),
            "calibration": self.calibration.copy(),
        }
        data: dict[str, Json] = {"loss_squares": str(self.loss_squares), "brier_units": str(self.brier_units)}
        return PhaseState(arrays, {**basic.data, **data})

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> EvaluationSums:
        """Read `to_phase_state` back. Raises `InternalError` for another state."""
        ranks, calibration = state.arrays.get("ranks"), state.arrays.get("calibration")
        if ranks is None or calibration is None:
            raise InternalError("evaluation sums: no ranks or calibration")
        squares, brier = (state.data.get(name) for name in WHOLE_NUMBERS[1:])
        if not isinstance(squares, str) or not isinstance(brier, str):
            raise InternalError("evaluation sums: no loss_squares or brier_units")
        classes = len(ranks)
        confusion = dense_table("confusion", state.arrays, (classes, classes))
        return cls(
            basic=MetricSums.from_phase_state(PhaseState({"confusion": confusion}, state.data)),
            ranks=ranks,
            calibration=calibration,
            scores=ScoreHistograms(
                positives=dense_table("positives", state.arrays, (classes, BINS)),
                negatives=dense_table("negatives", state.arrays, (classes, BINS)),
            ),
            confidence=dense_table("confidence", state.arrays, (2, BINS)),
            loss_squares=int(squares),
            brier_units=int(brier),
        )


def _squared_errors(truth: Array, probabilities: Array) -> int:
    """In `BRIER_UNIT`, each square rounded to it; up to four million rows at a time."""
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(truth)), truth] -= 1.0
    return int(np.rint(errors * errors / BRIER_UNIT).astype(np.int64).sum())
