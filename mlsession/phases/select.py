"""Selecting: how to fit the head is chosen by what heads say of images that they were not fitted to.

A step is one fit, or a part of one where that takes long: of the path of penalties (`heads.path`), and then, if the
kind of head is to be chosen as well, of a perceptron that must beat it (`heads.contest`). The state of a step holds the
choice so far; that of the last step what was chosen, and where the final fit begins (`heads.chosen`). Chosen is on

    cross-validation    the training images in five folds, copies of an image in one of them
    validation          the images held out for validation, by heads that are fitted to all others

Heads are fitted to all views of an image, and judged on the image itself. Of many images a sample is taken, alike in
its classes, and not all folds are judged; of few ones nothing is chosen: the defaults are taken, in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DigestMap, content_numbers
from mlsession.data.folds import FOLDS, fold_of, judged_classes
from mlsession.data.sample import stratified_sample
from mlsession.heads.chosen import DEFAULT, Chosen
from mlsession.heads.contest import Contest
from mlsession.heads.folded import NEVER, FoldedRows, folded_order, folded_rows
from mlsession.heads.moments import Moments, measure
from mlsession.heads.options import ClassifierOptions, candidates_of
from mlsession.heads.trial import TURN
from mlsession.phases.features import BLOCK, FeatureTable
from mlsession.phases.train import TableRows
from mlsession.randomness import key_digest
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count
from mlsession.session.phase import Arrays, PhaseState, Step

LEAST_JUDGED = 20
"""With fewer images to judge on nothing is chosen."""
ENOUGH_JUDGED = 5_000
"""Folds are judged until so many images are: which of two penalties is better is sure by then."""
MOST_ROWS = 20_000
MOST_BYTES = 256 * 2**20
"""Of features in float32: chosen is on at most so many training rows, all views counted."""
UNUSED = NEVER - 1
"""The fold of images that nothing is chosen on."""


class Selecting:
    """The runner of the selecting phase."""

    def __init__(
        self,
        load_table: Callable[[], FeatureTable],
        classes: tuple[str, ...],
        options: ClassifierOptions,
        tune: str,
        seed: int,
        numerics: Callable[[], AbstractContextManager[None]],
        turn: float = TURN,
        most_rows: int = MOST_ROWS,
    ) -> None:
        """`tune` is "cross-validation" or "validation"; `turn`: multiply-adds of a step, about."""
        self._load_table = load_table
        self._classes = classes
        self._options = options
        self._tune = tune
        self._seed = seed
        self._numerics = numerics
        self._turn = turn
        self._most_rows = most_rows

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        with self._numerics():
            rows = self._rows(self._load_table())
            if rows is None:
                yield _default_step(self._options)
                return
            contest, iteration = Contest.begin(rows, self._classes, self._options, self._seed), 0
            if state is not None:
                with as_written("state of selecting"):
                    iteration = as_count(state.data["iteration"])
                    contest = contest.going_on(state)
            while not contest.is_done:
                contest, iteration = contest.advance(self._turn), iteration + 1
                yield Step(
                    iteration=iteration,
                    total=None,
                    item_count=contest.fits,
                    total_items=contest.most_fits,
                    metrics=contest.metrics,
                    snapshot=partial(_snapshot, contest, iteration),
                    last=contest.is_done,
                )

    def _rows(self, table: FeatureTable) -> FoldedRows | None:
        """What to choose on; None where there is too little of it."""
        moments = measure(TableRows(table), self._classes)
        images = self._sampled(table, moments)
        folds = np.full(len(table.digests), UNUSED, dtype=np.int64)
        if self._tune == "validation":
            folds[images] = NEVER
            folds[_evenly(table.image[table.validation], ENOUGH_JUDGED)] = 0
        else:
            folds[images] = self._folds(table.labels[table.original][images], table.digests[images])
        of_rows = folds[table.image]
        # Of an image that is held out only the image itself is judged, and of a training image all views are fitted to.
        used = ((of_rows != UNUSED) & table.training) | ((of_rows == 0) & table.validation)
        places = np.flatnonzero(used)
        order = folded_order(of_rows[places], table.original[places])
        places = places[order]
        if (table.original[places] & (of_rows[places] != NEVER)).sum() < LEAST_JUDGED:
            return None
        contents = content_numbers(table.digests)[table.image[places]]
        return folded_rows(partial(_blocks, table, places), of_rows[places], table.original[places], contents, moments)

    def _sampled(self, table: FeatureTable, moments: Moments) -> npt.NDArray[np.int64]:
        """The training images to choose on, as places in the corpus, ascending."""
        chosen = table.training & table.original
        images, labels = table.image[chosen], table.labels[chosen]
        most = min(self._most_rows, MOST_BYTES // (4 * table.features.shape[1]))
        salt = key_digest(self._seed, "selection sample")
        return images[stratified_sample(labels, table.digests[images], most / moments.rows, salt)]

    def _folds(self, labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """int64 [n]: the fold of each of n images, from 0, or `NEVER`."""
        _, groups = DigestMap(digests).look_up(digests)
        folds = fold_of(labels, groups, digests, key_digest(self._seed, "selection fold"))
        alone = ~np.array(judged_classes(labels, folds, len(self._classes)))
        # A class that lies in one fold alone stays in all fits, with all copies: none would know it otherwise.
        folds[np.isin(groups, groups[alone[labels]])] = NEVER
        folds[folds >= -(-ENOUGH_JUDGED * FOLDS // len(labels))] = NEVER
        present = np.unique(folds[folds != NEVER])
        return np.where(folds == NEVER, NEVER, np.searchsorted(present, folds))


def _evenly(images: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """`most` of the images, evenly over all of them."""
    return images if len(images) <= most else images[np.linspace(0, len(images) - 1, most).astype(np.int64)]


def _blocks(table: FeatureTable, places: npt.NDArray[np.int64]) -> Iterator[Arrays]:
    for start in range(0, len(places), BLOCK):
        rows = places[start : start + BLOCK]
        yield {"features": table.take(rows), "labels": table.labels[rows]}


def _default_step(options: ClassifierOptions) -> Step:
    """There is nothing to choose on."""
    chosen = Chosen(options=candidates_of(options)[0], kind=DEFAULT)
    return Step(iteration=1, total=1, item_count=0, total_items=0, snapshot=chosen.to_phase_state, last=True)


def _snapshot(contest: Contest, iteration: int) -> PhaseState:
    saved = contest.to_phase_state()
    return PhaseState(saved.arrays, {**saved.data, "iteration": iteration})
