"""Training: a head is fitted to the features; a step is one iteration of the fit, whatever that is for its kind.

The state of a step holds the whole fit, the head it gives by now (`head.*`), and the metrics so far (`history.*`, one
value for each iteration), so that every checkpoint is a usable classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.heads.blocks import Block, worked_blocks
from mlsession.heads.chosen import Chosen
from mlsession.heads.fitting import begin_fit, restore_fit
from mlsession.heads.layer import softmax
from mlsession.heads.options import ClassifierOptions, candidates_of
from mlsession.heads.protocol import Fit, Head
from mlsession.metrics.sums import MetricSums
from mlsession.phases.features import FeatureTable
from mlsession.phases.trained import FIT_PREFIX, HEAD_KIND, HEAD_PREFIX
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import HISTORY_PREFIX, Array, Arrays, PhaseState, Step


class TableRows:
    """`TrainingRows` of a feature table: all views to train on, in index order."""

    def __init__(self, table: FeatureTable) -> None:
        self._table = table
        self._rows = np.flatnonzero(table.training)

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self) -> Iterator[Arrays]:
        return self._table.rows(self._table.training)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self._table.labels[self._rows]

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        return self._table.contents[self._table.image[self._rows]]

    @property
    def is_grouped(self) -> bool:
        return self._table.groups is not None

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return self._table.original[self._rows]

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        rows = self._rows[places]
        return {"features": self._table.take(rows), "labels": self._table.labels[rows]}


class Training:
    """The runner of the training phase, for a head of any kind."""

    def __init__(
        self,
        load_table: Callable[[], FeatureTable],
        classes: tuple[str, ...],
        options: ClassifierOptions,
        seed: int,
        limit: int,
        numerics: Callable[[], AbstractContextManager[None]],
        chosen: Callable[[], Chosen | None] = lambda: None,
    ) -> None:
        """`chosen` gives what was chosen for the fit, if something was; then it takes the place of `options`."""
        self._load_table = load_table
        self._classes = classes
        self._options = options
        self._seed = seed
        self._limit = limit
        self._numerics = numerics
        self._chosen = chosen

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        with self._numerics():
            table = self._load_table()
            rows = TableRows(table)
            fit, validation = self._restore(state, rows)
            last = False
            while not last:
                head = None
                if not self._is_done(fit):  # A limit may have been lowered below what is already done.
                    fit = fit.advance(rows)
                    head = fit.head()
                    validation.append(_validation_metrics(head, table))
                last = self._is_done(fit)
                yield Step(
                    iteration=fit.iteration,
                    total=self._limit,
                    metrics=_metrics(fit, validation),
                    snapshot=_snapshot(fit, head or fit.head(), validation),
                    last=last,
                )

    def _is_done(self, fit: Fit) -> bool:
        return fit.converged or fit.iteration >= self._limit

    def _restore(self, state: PhaseState | None, rows: TableRows) -> tuple[Fit, list[tuple[float, float]]]:
        chosen = self._chosen()
        options = candidates_of(self._options)[0] if chosen is None else chosen.options
        if state is None:
            return begin_fit(rows, self._classes, options, self._seed, chosen), []
        with as_written("state of training"):
            losses, accuracies = (
                state.arrays.get(f"{HISTORY_PREFIX}validation_{name}", np.empty(0)) for name in ("loss", "accuracy")
            )
            pairs = [(float(loss), float(accuracy)) for loss, accuracy in zip(losses, accuracies, strict=True)]
            return restore_fit(_fit_state(state), options, self._seed), pairs


def _fit_state(state: PhaseState) -> PhaseState:
    """The fit's own state in a training state."""
    arrays = {
        name.removeprefix(FIT_PREFIX): array for name, array in state.arrays.items() if name.startswith(FIT_PREFIX)
    }
    return PhaseState(arrays, state.data)


def _validation_metrics(head: Head, table: FeatureTable) -> tuple[float, float]:
    """Mean log loss and accuracy on the held-out rows; NaN without any."""
    # By torch: numpy's own threads wait by spinning, which beside other work took as long as the iteration itself.
    module, sums = head.module(), MetricSums.zero(head.num_classes)

    def answered(block: Block) -> tuple[Array, Array]:
        return block.labels.numpy().copy(), softmax(module(block.features).numpy())

    for labels, probabilities in worked_blocks(partial(table.rows, table.validation), answered):
        sums = sums.add(labels, probabilities)
    return sums.log_loss, sums.accuracy


def _metrics(fit: Fit, validation: list[tuple[float, float]]) -> dict[str, float]:
    metrics = {"loss": float(fit.losses[-1]), "accuracy": float(fit.accuracies[-1])}
    if validation and not np.isnan(validation[-1][0]):
        metrics |= {"validation_loss": validation[-1][0], "validation_accuracy": validation[-1][1]}
    return metrics


def _snapshot(fit: Fit, head: Head, validation: list[tuple[float, float]]) -> Callable[[], PhaseState]:
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
        return PhaseState(arrays, {**saved.data, HEAD_KIND: head.kind})

    return snapshot
