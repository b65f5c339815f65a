"""All that an evaluation adds up: small, exact, and the same however the rows are batched, split or merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError
from mlsession.metrics.calibration import CONFIDENCE_BINS, calibration_table
from mlsession.metrics.ranks import true_ranks
from mlsession.metrics.scores import BINS, ScoreHistograms
from mlsession.metrics.sparse import dense_table, sparse_arrays
from mlsession.metrics.sums import MetricSums
from mlsession.session.phase import Array, PhaseState


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

    def __post_init__(self) -> None:
        classes = len(self.basic.confusion)
        for table, shape in ((self.ranks, (classes,)), (self.calibration, (CONFIDENCE_BINS, 3))):
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
        )

    @property
    def count(self) -> int:
        """Rows."""
        return self.basic.count

    @property
    def accuracy(self) -> float:
        """The share predicted correctly; NaN without rows."""
        return self.basic.accuracy

    def add(self, truth: Array, probabilities: Array) -> EvaluationSums:
        """These rows too: int [n] true classes, float [n, K] probabilities. Raises `InvalidParameter`."""
        basic = self.basic.add(truth, probabilities)
        if not len(truth):
            return self
        ranks = true_ranks(truth, probabilities)
        return EvaluationSums(
            basic=basic,
            ranks=self.ranks + np.bincount(ranks, minlength=len(self.ranks)),
            calibration=self.calibration + calibration_table(probabilities.max(axis=1), ranks == 0),
            scores=self.scores.add(truth, probabilities),
        )

    def merge(self, other: EvaluationSums) -> EvaluationSums:
        """The sums of both sets of rows. Raises `InvalidParameter` when the number of classes differs."""
        return EvaluationSums(
            basic=self.basic.merge(other.basic),
            ranks=self.ranks + other.ranks,
            calibration=self.calibration + other.calibration,
            scores=self.scores.merge(other.scores),
        )

    def to_phase_state(self) -> PhaseState:
        """The saved form, in memory of its own; tables that are mostly zero as `sparse_arrays`."""
        basic = self.basic.to_phase_state()
        arrays = {
            **sparse_arrays("confusion", self.basic.confusion),
            **sparse_arrays("positives", self.scores.positives),
            **sparse_arrays("negatives", self.scores.negatives),
            "ranks": self.ranks.copy(),
            "calibration": self.calibration.copy(),
        }
        return PhaseState(arrays, basic.data)

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> EvaluationSums:
        """Read `to_phase_state` back. Raises `InternalError` for another state."""
        ranks, calibration = state.arrays.get("ranks"), state.arrays.get("calibration")
        if ranks is None or calibration is None:
            raise InternalError("evaluation sums: no ranks or calibration")
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
        )
