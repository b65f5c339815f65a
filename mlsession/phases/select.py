"""Selecting: how to fit the head is chosen by what heads say of images that they were not fitted to.

A step is one fit, or a part of one where that takes long: of the path of penalties (`heads.selecting.path`), and
then, if the kind of head is to be chosen as well, of a perceptron that must beat it (`heads.selecting.contest`).
Which views of the images are trained on is chosen before that, if it is (`heads.selecting.view_contest`). The state
of a step holds the choice so far; that of the last step what was chosen, and where the final fit begins
(`heads.chosen`). Chosen is on

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

from mlsession.augment.options import name_of
from mlsession.augment.views import ViewPlan
from mlsession.heads.chosen import DEFAULT, Chosen
from mlsession.heads.forward import ViewsChoice
from mlsession.heads.options import ClassifierOptions, candidates_of
from mlsession.heads.selecting.contest import Contest
from mlsession.heads.selecting.folded import FoldedRows
from mlsession.heads.selecting.trial import TURN
from mlsession.heads.selecting.view_contest import ViewContest
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import MOST_ROWS, Folding
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count
from mlsession.session.phase import PhaseState, Step


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
        self._seed = seed
        self._numerics = numerics
        self._turn = turn
        self._folding = Folding(classes=classes, tune=tune, seed=seed, most_rows=most_rows)
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
        folds, plan = self._folding.of_images(table), self._views
        if folds is None:
            return None
        if plan is None:
            return Contest.begin(self._folding.rows(table, folds), self._classes, self._options, self._seed)

        def rows_of(kinds: tuple[str, ...]) -> FoldedRows:
            return self._folding.rows(table.of_views(plan.views_of(kinds)), folds)

        kinds = tuple(name_of(option) for option in plan.options)
        return ViewContest(rows_of=rows_of, kinds=kinds, classes=self._classes, options=self._options, seed=self._seed)


def _default_step(options: ClassifierOptions, views: ViewsChoice | None) -> Step:
    """There is nothing to choose on."""
    chosen = Chosen(options=candidates_of(options)[0], kind=DEFAULT, views=views)
    return Step(iteration=1, total=1, item_count=0, total_items=0, snapshot=chosen.to_phase_state, last=True)


def _snapshot(contest: Contest | ViewContest, iteration: int) -> PhaseState:
    saved = contest.to_phase_state()
    return PhaseState(saved.arrays, {**saved.data, "iteration": iteration})
