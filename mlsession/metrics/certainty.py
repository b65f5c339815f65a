"""How sure the figures of an evaluation are: their 95 % intervals, for images that were drawn independently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsession.metrics import bootstrap, intervals
from mlsession.metrics.bootstrap import MacroIntervals
from mlsession.metrics.figures import ClassifierFigures
from mlsession.metrics.intervals import UNKNOWN, Interval
from mlsession.session.phase import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CertainFigures(ClassifierFigures):
    """`ClassifierFigures`, and how sure they are. An interval is its lower and its upper end, NaN where its figure is
    undefined; docs/metrics.md says how often each holds what is true.
    """

    @property
    def accuracy_interval(self) -> Interval:
        """The accuracy's (Wilson)."""
        return intervals.wilson_interval(int(np.trace(self.confusion_matrix)), self.count)

    @property
    def gain_over_baseline_interval(self) -> Interval:
        """That of `gain_over_baseline` (Agresti and Min), on the same images: narrower than the two intervals apart.

        Its upper end allows for all classes that may be the commonest one (`intervals.num_commonest`).
        """
        if not self.count:
            return UNKNOWN
        counts, hits = self.class_counts, self.true_positives
        commonest = int(counts.argmax())
        better, worse = int(hits.sum() - hits[commonest]), int(self.false_negatives[commonest])
        return intervals.gain_interval(better, worse, self.count, intervals.num_commonest(counts))

    @property
    def beats_baseline(self) -> bool:
        """Whether these images show, at 95 %, that it does better than always saying the commonest class."""
        return self.gain_over_baseline_interval[0] > 0

    @property
    def macro_intervals(self) -> MacroIntervals:
        """Those of `balanced_accuracy` and `f1_macro` (bootstrap), at once: each call draws some 1,000 times."""
        return bootstrap.macro_intervals(self.confusion_matrix)

    @property
    def balanced_accuracy_interval(self) -> Interval:
        """The balanced accuracy's (bootstrap); see `macro_intervals`."""
        return self.macro_intervals.balanced_accuracy

    @property
    def f1_macro_interval(self) -> Interval:
        """The macro F1's (bootstrap); see `macro_intervals`."""
        return self.macro_intervals.f1_macro

    @property
    def log_loss_interval(self) -> Interval:
        """The log loss's (normal approximation, once two images of each kind are added)."""
        return intervals.loss_interval(self.log_loss, self.log_loss_deviation, self.count, len(self.classes))

    @property
    def roc_auc_ovr_interval(self) -> Interval:
        """The mean area's: the mean of the classes' ends, so 95 % or more however the classes hang together."""
        known = np.isfinite(self.roc_auc)
        if not known.any():
            return UNKNOWN
        low, high = self.roc_auc_interval[known].mean(axis=0).tolist()
        return low, high

    @property
    def expected_calibration_error_interval(self) -> Interval:
        """The expected calibration error's (bootstrap)."""
        return UNKNOWN if self.calibration_table is None else bootstrap.calibration_interval(self.calibration_table)

    @property
    def chance_calibration_error(self) -> float:
        """The calibration error that 95 of 100 models whose confidences are true stay below on so many images: a
        smaller one says nothing against them.
        """
        table = self.calibration_table
        return float("nan") if table is None else bootstrap.chance_calibration_error(table)

    # By class

    @property
    def precision_interval(self) -> Array:
        """float64 [K, 2]: the precisions' (Wilson)."""
        return intervals.wilson_intervals(self.true_positives, self.confusion_matrix.sum(axis=0))

    @property
    def recall_interval(self) -> Array:
        """float64 [K, 2]: the recalls' (Wilson)."""
        return intervals.wilson_intervals(self.true_positives, self.class_counts)

    @property
    def f1_interval(self) -> Array:
        """float64 [K, 2]: the F1s' (Wilson, of the share that F1 follows from)."""
        hits = self.true_positives
        return intervals.f1_intervals(hits, hits + self.false_positives + self.false_negatives)

    @property
    def roc_auc_interval(self) -> Array:
        """float64 [K, 2]: the areas' (Newcombe)."""
        return intervals.area_intervals(self.roc_auc, self.class_counts, self.count - self.class_counts)
