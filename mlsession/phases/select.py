"""Selecting: how to fit the head is chosen by what heads say of images that they were not fitted to.

A step is one fit, or a part of one where that takes long: of the path of penalties (`heads.path`), and then, if the
kind of head is to be chosen as well, of a perceptron that must beat it (`heads.contest`). Which views of the images are
trained on is chosen before that, if it is (`heads.view_contest`). The state of a step holds the choice so far; that of
the last step what was chosen, and where the final fit begins (`heads.chosen`). Chosen is on

    cross-validation    the training images in five folds, copies of an image in one of them
    validation          the images held out for validation, by heads that are fitted to all others

Heads are fitted to all views of an image, or to those of the set that is tried, and judged on the image itself: with
every set on the same images, in the same folds. Of many images a sample is taken, alike in its classes, and not all
folds are judged; of few ones nothing is chosen: the defaults are taken, in one step, and no views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.augment.options import name_of
from mlsession.augment.views import ViewPlan
from mlsession.data.digests import DigestMap, content_numbers
from mlsession.data.folds import FOLDS, fold_of, judged_classes
from mlsession.data.sample import stratified_sample
from mlsession.heads.chosen import DEFAULT, Chosen
from mlsession.heads.contest import Contest
from mlsession.heads.folded import NEVER, FoldedRows, folded_order, folded_rows
from mlsession.heads.forward import ViewsChoice
from mlsession.heads.moments import measure
from mlsession.heads.options import ClassifierOptions, candidates_of
from mlsession.heads.trial import TURN
from mlsession.heads.view_contest import ViewContest
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
        views: ViewPlan | None = None,
    ) -> None:
        """`tune` is "cross-validation" or "validation"; `turn`: multiply-adds of a step, about.

        `views` are those of the table, if which of them to train on is to be chosen, by the options that make them.
        """
        self._load_table = load_table
        self._classes = classes
        self._options = options
        self._tune = tune
        self._seed = seed
        self._numerics = numerics
        self._turn = turn
        self._most_rows = most_rows
        self._views = views

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        with self._numerics():
            contest, iteration = self._begun(self._load_table()), 0
            if contest is None:
                yield _default_step(self._options, None if self._views is None else ViewsChoice())
                return
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

    def _begun(self, table: FeatureTable) -> Contest | ViewContest | None:
        """The choice before its first fit; None where there is too little to choose on."""
        if self._views is None:
            rows = self._rows(table)
            return None if rows is None else Contest.begin(rows, self._classes, self._options, self._seed)
        folds, plan = self._of_images(table), self._views
        if folds is None:
            return None

        def rows_of(kinds: tuple[str, ...]) -> FoldedRows:
            return self._folded(table.of_views(plan.views_of(kinds)), folds)

        kinds = tuple(name_of(option) for option in plan.options)
        return ViewContest(rows_of=rows_of, kinds=kinds, classes=self._classes, options=self._options, seed=self._seed)

    def _rows(self, table: FeatureTable) -> FoldedRows | None:
        """What to choose on, of all views; None where there is too little of it."""
        folds = self._of_images(table)
        return None if folds is None else self._folded(table, folds)

    def _of_images(self, table: FeatureTable) -> npt.NDArray[np.int64] | None:
        """int64 [images]: the fold of each image, `NEVER` or `UNUSED`; None where too few of them are judged."""
        images = self._sampled(table)
        folds = np.full(len(table.digests), UNUSED, dtype=np.int64)
        if self._tune == "validation":
            folds[images] = NEVER
            folds[_evenly(table.image[table.validation], ENOUGH_JUDGED)] = 0
        else:
            folds[images] = self._folds(table.labels[table.original][images], table.digests[images])
        is_judged = (folds != NEVER) & (folds != UNUSED)
        return folds if is_judged.sum() >= LEAST_JUDGED else None

    def _folded(self, table: FeatureTable, folds: npt.NDArray[np.int64]) -> FoldedRows:
        """The rows to train on of images in those folds, and to judge."""
        moments = measure(TableRows(table), self._classes)
        of_rows = folds[table.image]
        # Of an image that is held out only the image itself is judged, and of a training image all views are fitted to.
        used = ((of_rows != UNUSED) & table.training) | ((of_rows == 0) & table.validation)
        places = np.flatnonzero(used)
        places = places[folded_order(of_rows[places], table.original[places])]
        contents = content_numbers(table.digests)[table.image[places]]
        return folded_rows(partial(_blocks, table, places), of_rows[places], table.original[places], contents, moments)

    def _sampled(self, table: FeatureTable) -> npt.NDArray[np.int64]:
        """The training images to choose on, as places in the corpus, ascending."""
        chosen = table.training & table.original
        images, labels = table.image[chosen], table.labels[chosen]
        most = min(self._most_rows, MOST_BYTES // (4 * table.features.shape[1]))
        salt = key_digest(self._seed, "selection sample")
        return images[stratified_sample(labels, table.digests[images], most / table.training.sum(), salt)]

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


def _default_step(options: ClassifierOptions, views: ViewsChoice | None) -> Step:
    """There is nothing to choose on."""
    chosen = Chosen(options=candidates_of(options)[0], kind=DEFAULT, views=views)
    return Step(iteration=1, total=1, item_count=0, total_items=0, snapshot=chosen.to_phase_state, last=True)


def _snapshot(contest: Contest | ViewContest, iteration: int) -> PhaseState:
    saved = contest.to_phase_state()
    return PhaseState(saved.arrays, {**saved.data, "iteration": iteration})
