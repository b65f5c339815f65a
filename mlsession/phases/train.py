"""Training: the head is fitted to the features, one full-batch iteration a step.

The state of a step holds the whole fit, the head it gives by now (`head.*`), and the metrics so far (`history.*`, one
value for each iteration), so that every checkpoint is a usable classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from mlsession.heads.linear import LogisticHead
from mlsession.heads.logistic import head_of, initial_state, iterate
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.state import LogisticState
from mlsession.metrics.sums import MetricSums
from mlsession.phases.features import FeatureTable
from mlsession.phases.trained import FIT_PREFIX, HEAD_PREFIX
from mlsession.session.phase import HISTORY_PREFIX, Array, PhaseState, Step


class Training:
    """The runner of the training phase for a logistic head."""

    def __init__(
        self,
        load_table: Callable[[], FeatureTable],
        classes: tuple[str, ...],
        options: LogisticRegressor,
        limit: int,
        numerics: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._load_table = load_table
        self._classes = classes
        self._options = options
        self._limit = limit
        self._numerics = numerics

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        with self._numerics():
            table = self._load_table()
            fit, validation = self._restore(state, table)
            last = False
            while not last:
                if not self._is_done(fit):  # A limit may have been lowered below what is already done.
                    fit = iterate(fit, lambda: table.rows(table.training), self._options)
                    validation.append(_validation_metrics(head_of(fit), table))
                last = self._is_done(fit)
                yield Step(
                    iteration=fit.iteration,
                    total=self._limit,
                    metrics=_metrics(fit, validation[-1]) if validation else {},
                    snapshot=_snapshot(fit, head_of(fit), validation),
                    last=last,
                )

    def _is_done(self, fit: LogisticState) -> bool:
        return fit.converged or fit.iteration >= self._limit

    def _restore(
        self, state: PhaseState | None, table: FeatureTable
    ) -> tuple[LogisticState, list[tuple[float, float]]]:
        if state is None:
            return initial_state(lambda: table.rows(table.training), self._classes, self._options), []
        losses, accuracies = (
            state.arrays.get(f"{HISTORY_PREFIX}validation_{name}", np.empty(0)) for name in ("loss", "accuracy")
        )
        pairs = [(float(loss), float(accuracy)) for loss, accuracy in zip(losses, accuracies, strict=True)]
        return fit_of(state), pairs


def fit_of(state: PhaseState) -> LogisticState:
    """The fit in a training state."""
    arrays = {
        name.removeprefix(FIT_PREFIX): array for name, array in state.arrays.items() if name.startswith(FIT_PREFIX)
    }
    return LogisticState.from_phase_state(PhaseState(arrays, state.data))


def _validation_metrics(head: LogisticHead, table: FeatureTable) -> tuple[float, float]:
    """Mean log loss and accuracy on the held-out rows; NaN without any."""
    sums = MetricSums.zero(len(head.bias))
    for block in table.rows(table.validation):
        sums = sums.add(block["labels"], head.probabilities(np.ascontiguousarray(block["features"])))
    return sums.log_loss, sums.accuracy


def _metrics(fit: LogisticState, validation: tuple[float, float]) -> dict[str, float]:
    metrics = {"loss": float(fit.losses[-1]), "accuracy": float(fit.accuracies[-1])}
    if not np.isnan(validation[0]):
        metrics |= {"validation_loss": validation[0], "validation_accuracy": validation[1]}
    return metrics


def _snapshot(
    fit: LogisticState, head: LogisticHead, validation: list[tuple[float, float]]
) -> Callable[[], PhaseState]:
    def snapshot() -> PhaseState:
        saved = fit.to_phase_state()
        held_out = np.array(validation, dtype=np.float64).reshape(-1, 2)
        arrays: dict[str, Array] = {
            **{f"{FIT_PREFIX}{name}": array for name, array in saved.arrays.items()},
            **{f"{HEAD_PREFIX}{name}": array.copy() for name, array in head.tensors().items()},
            f"{HISTORY_PREFIX}loss": fit.losses.copy(),
            f"{HISTORY_PREFIX}accuracy": fit.accuracies.copy(),
        }
        if not np.isnan(held_out).any():
            arrays[f"{HISTORY_PREFIX}validation_loss"] = held_out[:, 0].copy()
            arrays[f"{HISTORY_PREFIX}validation_accuracy"] = held_out[:, 1].copy()
        return PhaseState(arrays, saved.data)

    return snapshot
