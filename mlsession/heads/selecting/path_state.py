"""All that a choice of the penalty remembers between two iterations of the solver, and its saved form; numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from mlsession.errors import InternalError
from mlsession.heads.chosen import Score
from mlsession.heads.state import LogisticState
from mlsession.session.phase import Array, Json, PhaseState

ARRAYS = ("solutions", "logits", "best_point", "best_logits")
FIT = "fit."
"""Prefix of the arrays of the present fit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathState:
    """F folds, J judged rows, K classes, D features, P = K * D + K.

    Points are weights row by row, then biases, of features that are centred and not scaled.
    """

    solutions: Array
    """float64 [F, P]: where the newest fit of each fold has ended; 0 before it."""
    logits: Array
    """float32 [J, K]: of the folds that are judged at the present strength, fold by fold; others are older."""
    best_point: Array
    """float64 [P]: the mean of the folds' solutions at the best strength so far."""
    best_logits: Array
    """float32 [J, K]: at that strength."""
    scores: tuple[Score, ...]
    """Of the strengths that all folds were judged at."""
    fold: int
    """Which fold is fitted for, at the strength after those."""
    fit: LogisticState | None
    """The present fit; None between two fits."""

    def __post_init__(self) -> None:
        if self.solutions.ndim != 2 or self.logits.ndim != 2:
            raise InternalError(f"path state: solutions {self.solutions.shape}, logits {self.logits.shape}")
        shapes = {"best_point": self.solutions.shape[1:], "best_logits": self.logits.shape}
        if any(getattr(self, name).shape != shape for name, shape in shapes.items()):
            raise InternalError("path state: what is best has another shape than what is tried")
        if not 0 <= self.fold < len(self.solutions) + 1:
            raise InternalError(f"path state: fold {self.fold} of {len(self.solutions)}")

    @classmethod
    def zero(cls, folds: int, judged: int, classes: int, features: int) -> PathState:
        """Before the first fit."""
        size = classes * features + classes
        logits = np.zeros((judged, classes), dtype=np.float32)
        return cls(
            solutions=np.zeros((folds, size), dtype=np.float64),
            logits=logits,
            best_point=np.zeros(size, dtype=np.float64),
            best_logits=logits,
            scores=(),
            fold=0,
            fit=None,
        )

    def with_judged(self, places: slice, logits: Array, point: Array) -> PathState:
        """After the end of the present fit, at a point [P], which gave these of the logits."""
        solutions, all_logits = self.solutions.copy(), self.logits.copy()
        solutions[self.fold], all_logits[places] = point, logits
        return replace(self, solutions=solutions, logits=all_logits, fold=self.fold + 1, fit=None)

    def with_score(self, score: Score, *, is_best: bool) -> PathState:
        """After the last fold of a strength."""
        state = replace(self, scores=(*self.scores, score), fold=0)
        if not is_best:
            return state
        total = np.zeros_like(self.best_point)
        for solution in self.solutions:
            total += solution
        return replace(state, best_point=total / len(self.solutions), best_logits=self.logits)

    def to_phase_state(self) -> PhaseState:
        """The saved form; all arrays in memory of their own."""
        arrays = {name: np.array(getattr(self, name)) for name in ARRAYS}
        data: dict[str, Json] = {"scores": [score.to_json() for score in self.scores], "fold": self.fold, "fit": None}
        if self.fit is not None:
            fit = self.fit.to_phase_state()
            arrays |= {f"{FIT}{name}": array for name, array in fit.arrays.items()}
            data["fit"] = dict(fit.data)
        return PhaseState(arrays, data)

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> PathState:
        """Read `to_phase_state` back. Raises `InternalError`, `KeyError` or `TypeError` for another state."""
        arrays, data = state.arrays, state.data
        fit = None
        if data["fit"] is not None:
            of_fit = {name.removeprefix(FIT): array for name, array in arrays.items() if name.startswith(FIT)}
            fit = LogisticState.from_phase_state(PhaseState(of_fit, cast(Mapping[str, Json], data["fit"])))
        return cls(
            **{name: arrays[name] for name in ARRAYS},
            scores=tuple(Score.from_json(score) for score in cast(list[dict[str, Json]], data["scores"])),
            fold=int(cast(int, data["fold"])),
            fit=fit,
        )
