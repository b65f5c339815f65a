"""What a head says of images that it was not fitted to: probabilities by cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.heads.logistic.fit import LogisticFit, initial_state
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.protocol import Head
from mlsession.phases.features import let_go, make_room
from mlsession.reviewing.rows import FoldRows, ReviewRows
from mlsession.session.phase import Array

ITERATIONS = 25
"""Of each fit, at most: as many as a training has by default."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Probabilities of N rows, each by a head that has seen neither the row nor a copy of it."""

    rows: npt.NDArray[np.int64]
    """[N]: ascending places in the rows of the review; those of classes that are not judged are left out."""
    labels: npt.NDArray[np.int64]
    """[N]: as given."""
    probabilities: Array
    """float32 [N, K]; 0 for classes that a fold's head did not know. An array of `make_room`."""

    def take(self, places: npt.NDArray[np.int64]) -> Array:
        """float64 [n, K] of some of the N."""
        taken: Array = self.probabilities[places].astype(np.float64)
        let_go(self.probabilities)
        return taken


def held_out(
    rows: ReviewRows,
    folds: npt.NDArray[np.int64],
    judged: list[bool],
    classes: tuple[str, ...],
    check: Callable[[], None] = lambda: None,
) -> HeldOut:
    """Fits a logistic head to all folds but one, for each fold, and asks it about that one.

    `folds` int64 [T] are those of the first T rows, the training images; `judged` says of which classes. There are at
    least two of these. Costs a fit to the other rows for each fold; memory is that of one fit, and the probabilities,
    beyond `MEMORY_BYTES` in a temporary file. `check` is called between iterations, and may raise.
    """
    labels, wanted = rows.labels, np.zeros(len(rows), dtype=np.bool_)
    wanted[: len(folds)] = np.array(judged)[labels[: len(folds)]]
    chosen = np.flatnonzero(wanted)
    found = make_room(len(chosen), len(classes), np.float32)
    fold = np.full(len(rows), -1, dtype=np.int64)
    fold[chosen] = folds[chosen]
    for each in np.unique(fold[chosen]).tolist():
        known, head = _head(rows, wanted & (fold != each), classes, check)
        for places, features in rows.blocks(fold == each):
            block = np.zeros((len(places), len(classes)), dtype=np.float32)
            block[:, known] = head.probabilities(features.astype(np.float32))
            found[np.searchsorted(chosen, places)] = block
            let_go(found)
    return HeldOut(rows=chosen, labels=labels[chosen], probabilities=found)


def _head(
    rows: ReviewRows, chosen: npt.NDArray[np.bool_], classes: tuple[str, ...], check: Callable[[], None]
) -> tuple[npt.NDArray[np.int64], Head]:
    """The classes that some rows have, and a head fitted to those."""
    known = np.unique(rows.labels[chosen])
    places = np.searchsorted(known, rows.labels)
    fold_rows, options = FoldRows(rows, chosen, places), LogisticRegressor()
    names = [classes[label] for label in known.tolist()]
    fit = LogisticFit(state=initial_state(fold_rows, names, options), options=options)
    while not fit.converged and fit.iteration < ITERATIONS:
        check()
        fit = fit.advance(fold_rows)
    return known, fit.head()
