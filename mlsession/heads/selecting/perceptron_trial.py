"""A multilayer perceptron, judged by what its fits say of images that they were not fitted to.

    for each fold: fit to the other rows, as a training does; judge the fold by the head that it gives

Each fit holds out images of its own for early stopping and the temperature, so what is judged is the head as it will be
used. A fit has `MOST_EPOCHS` at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from mlsession.errors import InternalError
from mlsession.heads.chosen import Chosen, kind_for
from mlsession.heads.class_weight import class_weights
from mlsession.heads.options import PERCEPTRON, MultilayerPerceptron
from mlsession.heads.perceptron.fit import PerceptronFit
from mlsession.heads.perceptron.state import PerceptronState
from mlsession.heads.selecting.folded import FoldedRows, PickedRows
from mlsession.heads.selecting.path_state import FIT
from mlsession.heads.selecting.scoring import log_losses
from mlsession.heads.selecting.trial import TURN, Outcome
from mlsession.session.phase import Array, Json, PhaseState

MOST_EPOCHS = 25
"""Of a fit: as many as a training has by default, so that what is judged is what it would give."""
PASSES = 4.0
"""An epoch is about so many times the multiply-adds of all weights with all rows: 1 forward, 2 back, 1 to score."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronTrial:
    """`Trial` of a multilayer perceptron; K classes, J judged rows."""

    rows: FoldedRows
    options: MultilayerPerceptron
    classes: tuple[str, ...]
    seed: int
    logits: Array
    """float32 [J, K]: of the folds that are judged, fold by fold; 0 for the others."""
    fold: int
    """Which fold is fitted for."""
    fit: PerceptronFit | None
    """The present fit; None between two fits."""

    @classmethod
    def begin(
        cls, rows: FoldedRows, classes: tuple[str, ...], options: MultilayerPerceptron, seed: int
    ) -> PerceptronTrial:
        """Before the first fit."""
        logits = np.zeros((rows.num_judged, len(classes)), dtype=np.float32)
        return cls(rows=rows, options=options, classes=classes, seed=seed, logits=logits, fold=0, fit=None)

    @property
    def kind(self) -> str:
        return PERCEPTRON

    @property
    def is_done(self) -> bool:
        return self.fold == len(self.rows.folds)

    @property
    def fits(self) -> int:
        return self.fold

    @property
    def most_fits(self) -> int:
        return len(self.rows.folds)

    @property
    def metrics(self) -> dict[str, float]:
        count = self.rows.judged_of(self.fold).start
        return {"log_loss": self._log_loss(count), "accuracy": float(self._right(count).mean())} if count else {}

    def advance(self, turn: float = TURN) -> PerceptronTrial:
        """One epoch or more. Raises `InternalError` where the trial is done, `InvalidParameter` see `PerceptronFit`."""
        if self.is_done:
            raise InternalError("a trial has ended and cannot go on")
        rows, spent = PickedRows.fitted(self.rows, self.fold), 0.0
        fit = self.fit or PerceptronFit.begin(rows, self.classes, self.options, self.seed)
        each = PASSES * len(rows) * fit.state.shape.count
        while not _has_ended(fit):
            fit, spent = fit.advance(rows), spent + each
            if spent >= turn:
                break
        return self._judged(fit) if _has_ended(fit) else replace(self, fit=fit)

    def outcome(self) -> Outcome:
        count = len(self.rows.folds)
        chosen = Chosen(
            options=self.options, kind=kind_for(count), folds=count, judged=self.rows.num_judged, temperature=1.0
        )
        judged = self.rows.num_judged
        return Outcome(chosen=chosen, right=self._right(judged), log_loss=self._log_loss(judged))

    def to_phase_state(self) -> PhaseState:
        arrays = {"logits": np.array(self.logits)}
        data: dict[str, Json] = {"fold": self.fold, "fit": None}
        if self.fit is not None:
            fit = self.fit.to_phase_state()
            arrays |= {f"{FIT}{name}": array for name, array in fit.arrays.items()}
            data["fit"] = dict(fit.data)
        return PhaseState(arrays, data)

    def going_on(self, state: PhaseState) -> PerceptronTrial:
        logits, fit = state.arrays["logits"], None
        if logits.shape != self.logits.shape:
            raise InternalError(f"trial state: {logits.shape} are of other rows")
        if state.data["fit"] is not None:
            arrays = {name.removeprefix(FIT): array for name, array in state.arrays.items() if name.startswith(FIT)}
            of_fit = PerceptronState.from_phase_state(PhaseState(arrays, cast(dict[str, Json], state.data["fit"])))
            fit = PerceptronFit(state=of_fit, options=self.options, seed=self.seed)
        return replace(self, logits=logits, fold=int(cast(int, state.data["fold"])), fit=fit)

    def _judged(self, fit: PerceptronFit) -> PerceptronTrial:
        """After the end of a fit, which judges its fold."""
        logits = self.logits.copy()
        logits[self.rows.judged_of(self.fold)] = fit.head().module()(self.rows.judged(self.fold)).numpy()
        return replace(self, logits=logits, fold=self.fold + 1, fit=None)

    def _right(self, count: int) -> Array:
        """bool [count]: of the first rows that are judged."""
        right: Array = self.logits[:count].argmax(axis=1) == self.rows.judged_labels[:count]
        return right

    def _log_loss(self, count: int) -> float:
        """Of the first rows that are judged. The head has its temperature in it."""
        labels = self.rows.judged_labels[:count]
        of_classes = class_weights(self.rows.moments.class_counts, self.classes, self.options.class_weight)
        return float(np.average(log_losses(self.logits[:count], labels), weights=of_classes[labels]))


def _has_ended(fit: PerceptronFit) -> bool:
    return fit.converged or fit.iteration >= MOST_EPOCHS
