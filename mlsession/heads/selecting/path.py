"""The penalty of a logistic regression, chosen by what heads say of images that they were not fitted to.

    for each strength, from the strongest:
        for each fold: fit to the other rows, from where the fit of the strength before ended; judge the fold
        score = mean log loss of all that was judged, with the temperature that makes it the least
    until two strengths in a row were no better than the best before them

The strength with the least log loss is chosen, of equally good ones the stronger, and its temperature with it. What
is judged is thus the head as it will be used. Judged without a temperature, a strong penalty loses because it makes
all probabilities small, however good its labels are; and that is what a temperature mends. A strength s stands for l2
= s * (mean variance of a feature) / rows, so that it depends neither on the unit of the features nor on how many
there are, and means the same for a fold and for all rows, as scikit-learn's C does. The final fit begins at the mean of
the fits that were judged, and ends where they did, at `TOLERANCE`, or sooner if the options ask for less.
Source of the path: Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via
coordinate descent", Journal of Statistical Software 33 (2010), section 2.5.

A path is a value between two iterations of the solver, and a `Trial`; `advance` gives another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mlsession.errors import InternalError
from mlsession.heads.blocks import owned
from mlsession.heads.chosen import Chosen, Score, Start, kind_for
from mlsession.heads.class_weight import class_weights
from mlsession.heads.logistic.fit import descend, is_flat, state_at
from mlsession.heads.options import LOGISTIC, LogisticRegressor
from mlsession.heads.selecting.folded import FoldedRows
from mlsession.heads.selecting.path_state import PathState
from mlsession.heads.selecting.scoring import score_of
from mlsession.heads.selecting.trial import TURN, Outcome
from mlsession.session.phase import Array, PhaseState

STRENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Those that are tried, from the strongest."""
TOLERANCE = 3e-4
"""A fit of the path has converged when no element of the solver's gradient is larger."""
MOST_ITERATIONS = 100
"""Of a fit of the path."""
PATIENCE = 2
"""The path ends after so many strengths in a row that were no better than the best before them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """The choice on its way."""

    rows: FoldedRows
    options: LogisticRegressor
    classes: tuple[str, ...]
    state: PathState
    strengths: Sequence[float] = field(default=STRENGTHS)

    @classmethod
    def begin(cls, rows: FoldedRows, classes: tuple[str, ...], options: LogisticRegressor) -> Path:
        """Before the first fit."""
        state = PathState.zero(len(rows.folds), rows.num_judged, len(classes), rows.features.shape[1])
        return cls(rows=rows, options=options, classes=classes, state=state)

    def going_on(self, state: PhaseState) -> Path:
        """The same choice where a state stands, see `PathState`. Raises `InternalError` for that of another choice."""
        return self._at(PathState.from_phase_state(state))

    def to_phase_state(self) -> PhaseState:
        """See `PathState`."""
        return self.state.to_phase_state()

    def _at(self, state: PathState) -> Path:
        if (state.solutions.shape, state.logits.shape) != (self.state.solutions.shape, self.state.logits.shape):
            raise InternalError(f"path state: {state.solutions.shape} and {state.logits.shape} are of other rows")
        return replace(self, state=state)

    @property
    def kind(self) -> str:
        return LOGISTIC

    @property
    def metrics(self) -> dict[str, float]:
        """Of the best penalty so far."""
        if not self.state.scores:
            return {}
        best = self.state.scores[best_of(self.state.scores)]
        return {"strength": best.strength, "log_loss": best.log_loss, "accuracy": best.accuracy}

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to try."""
        return has_ended(self.state.scores, len(self.strengths))

    @property
    def fits(self) -> int:
        """Fits that have ended."""
        return len(self.state.scores) * len(self.rows.folds) + self.state.fold

    @property
    def most_fits(self) -> int:
        """Fits that there will be, at most."""
        return len(self.strengths) * len(self.rows.folds)

    def advance(self, turn: float = TURN) -> Path:
        """After the rest of the present fit, or about `turn` multiply-adds of it; one iteration or more.

        Raises `InternalError` where the path has ended.
        """
        path = self.iterate()
        spent = each = 2.0 * len(self.rows.labels) * len(self.classes) * self.rows.features.shape[1]
        while spent < turn and path.state.fit is not None:
            path, spent = path.iterate(), spent + each
        return path

    def iterate(self) -> Path:
        """After one more iteration of the solver: the first of a fit also begins it, the last judges the fold."""
        state, passes = self.state, self.rows.fitted(self.state.fold)
        fit = state.fit
        if fit is None:
            moments = replace(self.rows.moments, rows=len(passes))
            strength = self.strengths[len(state.scores)]
            l2 = strength * float(moments.variance.mean()) / len(passes)
            fit = state_at(self._start(), moments, l2, self._class_weights(), passes, centred=True)
            fit = replace(fit, converged=is_flat(fit.gradient, TOLERANCE))
        fit = descend(fit, passes, TOLERANCE, centred=True)
        if not fit.converged and fit.iteration < MOST_ITERATIONS:
            return replace(self, state=replace(state, fit=fit))
        point = np.concatenate([(fit.weights / fit.scale).ravel(), fit.bias])
        judged = state.with_judged(self.rows.judged_of(state.fold), self._logits(point), point)
        return replace(self, state=self._scored(judged) if judged.fold == len(self.rows.folds) else judged)

    def outcome(self) -> Outcome:
        """What is best of what was tried; once the path is done."""
        best = self.state.scores[best_of(self.state.scores)]
        right = self.state.best_logits.argmax(axis=1) == self.rows.judged_labels
        return Outcome(chosen=self.chosen(), right=right, log_loss=best.log_loss)

    def chosen(self) -> Chosen:
        """What is best of what was tried; once the path is done."""
        best = self.state.scores[best_of(self.state.scores)]
        moments, mean = self.rows.moments, self.rows.moments.mean.to(torch.float32).to(torch.float64).numpy()
        weights, bias = self._split(self.state.best_point)
        return Chosen(
            # As far as the fits that were judged, and no further: beyond that a weak penalty is another head, with
            # another temperature, that nobody has judged.
            options=replace(
                self.options,
                l2=best.strength * float(moments.variance.mean()) / moments.rows,
                tolerance=max(self.options.tolerance, TOLERANCE),
            ),
            kind=kind_for(len(self.rows.folds)),
            folds=len(self.rows.folds),
            judged=self.rows.num_judged,
            strength=best.strength,
            temperature=best.temperature,
            scores=self.state.scores,
            start=Start(weights=weights, bias=bias - (weights * mean).sum(axis=1)),
        )

    def _start(self) -> Start:
        """Where the present fold's fit at the strength before ended; the solver subtracts the mean from the bias."""
        weights, bias = self._split(self.state.solutions[self.state.fold])
        mean = self.rows.moments.mean.to(torch.float32).to(torch.float64).numpy()
        return Start(weights=weights, bias=bias - (weights * mean).sum(axis=1))

    def _split(self, point: Array) -> tuple[Array, Array]:
        count = len(self.classes)
        return point[:-count].reshape(count, -1), point[-count:]

    def _class_weights(self) -> Array:
        return class_weights(self.rows.moments.class_counts, self.classes, self.options.class_weight)

    def _logits(self, point: Array) -> Array:
        """float32 [n, K]: of the judged rows of the present fold, by weights and biases of centred features."""
        weights, bias = (owned(part).to(torch.float32) for part in self._split(point))
        judged = self.rows.judged(self.state.fold)
        logits: Array = torch.addmm(bias, judged, weights.view(len(self.classes), -1).T).numpy()
        return logits

    def _scored(self, state: PathState) -> PathState:
        """After the last fold of a strength."""
        strength = self.strengths[len(state.scores)]
        score = score_of(strength, state.logits, self.rows.judged_labels, self._class_weights())
        return state.with_score(score, is_best=best_of((*state.scores, score)) == len(state.scores))


def best_of(scores: Sequence[Score]) -> int:
    """The place of the least log loss; of equal ones the first, which is that of the strongest penalty."""
    losses = [score.log_loss for score in scores]
    return losses.index(min(losses))


def has_ended(scores: Sequence[Score], most: int, patience: int = PATIENCE) -> bool:
    """Whether a path of at most so many strengths has ended: see above."""
    return len(scores) >= most or (len(scores) > patience and best_of(scores) < len(scores) - patience)
