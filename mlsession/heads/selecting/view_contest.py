"""Which views to train on, and then all else that is to be chosen: one set after the other, on the same folds.

    for each set of kinds of views, in the order of `heads.forward`:
        judge logistic regression that is fitted with them, at its best penalty (`heads.selecting.path`)
    with the set that is kept: the contest of kinds of head, if there is one (`heads.selecting.contest`)

Whatever kind of head is trained in the end, sets are judged by logistic regression: it takes a tenth of a perceptron's
time, and views are to tell of the images, not of the head. Without views all penalties are tried; with some those from
the second stronger one on, since more rows of the same images add no more to be known, and want a stronger penalty.

A contest is a value between two turns; `advance` gives another one. It holds the rows of one set at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from mlsession.errors import InternalError
from mlsession.heads.chosen import Chosen, kind_for
from mlsession.heads.forward import NO_VIEWS, JudgedSet, ViewsChoice, most_sets, next_set
from mlsession.heads.options import ClassifierOptions, HeadOptions, LogisticRegressor, candidates_of
from mlsession.heads.paired import paired_difference
from mlsession.heads.selecting.contest import Contest, begin_trial
from mlsession.heads.selecting.folded import FoldedRows
from mlsession.heads.selecting.path import STRENGTHS, Path
from mlsession.heads.selecting.trial import TURN, Outcome
from mlsession.session.phase import Json, PhaseState

PLAIN, BEST = "plain", "best"
"""What was judged without views, and the best set with some, in a state."""
STRONGER = 2
"""With views the path of penalties begins so many strengths above the best one without: at ten times of it."""

RowsOf = Callable[[tuple[str, ...]], FoldedRows]
"""The rows with those kinds of views, by name: the same images, in the same folds and order, for every set."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewContest:
    """The choice on its way."""

    rows_of: RowsOf
    kinds: tuple[str, ...]
    """The names of all kinds of views."""
    classes: tuple[str, ...]
    options: ClassifierOptions
    seed: int
    choice: ViewsChoice = field(default_factory=ViewsChoice)
    """Of the sets that have been judged."""
    plain: Outcome | None = None
    best: Outcome | None = None
    path: Path | None = None
    """Of the set that is on its way; None between two sets."""
    contest: Contest | None = None
    """What follows once the views are chosen."""

    @property
    def is_done(self) -> bool:
        """Whether all has been judged."""
        return self.contest is not None and self.contest.is_done

    @property
    def fits(self) -> int:
        """Fits that have ended."""
        now = 0 if self.path is None else self.path.fits
        if self.contest is not None and self.contest.leading is not None:
            now = self.contest.fits - self.contest.num_folds * len(self.contest.leading.chosen.scores)
        return self.choice.fits + now

    @property
    def most_fits(self) -> int | None:
        """Fits that there will be, at most; None while not one set has been judged."""
        if self.contest is not None:
            return self.fits - self.contest.fits + self.contest.most_fits
        if self.plain is None:
            return None
        folds, later = self.plain.chosen.folds, len(candidates_of(self.options)) - 1
        sets = most_sets(len(self.kinds)) - len(self.choice.judged)
        return self.choice.fits + folds * (sets * len(self._strengths()) + later)

    @property
    def metrics(self) -> dict[str, float]:
        """Of the set that is on its way, or of what follows."""
        if self.contest is not None:
            return self.contest.metrics
        return {"sets": float(len(self.choice.judged)), **({} if self.path is None else self.path.metrics)}

    def advance(self, turn: float = TURN) -> ViewContest:
        """After a turn of what is on its way. Raises `InternalError` where all has been judged."""
        if self.contest is not None:
            return replace(self, contest=self.contest.advance(turn))
        path = (self.path or self._begun()).advance(turn)
        return self._judged(path) if path.is_done else replace(self, path=path)

    def to_phase_state(self) -> PhaseState:
        """The saved form, in memory of its own: once it is done what was chosen, and nothing else."""
        if self.contest is not None:
            return self.contest.to_phase_state()
        outcomes = {PLAIN: self.plain, BEST: self.best}
        parts = [outcome.stored(name) for name, outcome in outcomes.items() if outcome is not None]
        if self.path is not None:
            parts.append(self.path.to_phase_state())
        data: dict[str, Json] = {"views": self.choice.to_json(), "is_judging": self.path is not None}
        for part in parts:
            data |= part.data
        return PhaseState({name: array for part in parts for name, array in part.arrays.items()}, data)

    def going_on(self, state: PhaseState) -> ViewContest:
        """The same contest where a state stands. Raises `InternalError`, `KeyError` or `TypeError` for another's."""
        if "views" not in state.data:
            contest = self._then(Outcome.restored("leading", state)).going_on(state)
            views = None if contest.leading is None else contest.leading.chosen.views
            if views is None:
                raise InternalError("contest state: it is not that of a choice of views")
            return replace(self, choice=views, contest=contest)
        choice = ViewsChoice.from_json(cast(dict[str, Json], state.data["views"]))
        plain, best = (Outcome.restored(name, state) for name in (PLAIN, BEST))
        found = replace(self, choice=choice, plain=plain, best=best)
        return replace(found, path=found._begun().going_on(state)) if state.data["is_judging"] else found

    def _begun(self) -> Path:
        """The next set before its first fit."""
        views = self._next
        path = Path.begin(self.rows_of(views), self.classes, judge_of(self.options))
        return path if views == NO_VIEWS else replace(path, strengths=self._strengths())

    @property
    def _next(self) -> tuple[str, ...]:
        views = next_set(self.choice.judged, self.kinds)
        if views is None:
            raise InternalError("all sets of views have been judged")
        return views

    def _strengths(self) -> tuple[float, ...]:
        """Those that are tried with views."""
        chosen = None if self.plain is None else self.plain.chosen.strength
        return STRENGTHS if chosen is None else STRENGTHS[max(STRENGTHS.index(chosen) - STRONGER, 0) :]

    def _judged(self, path: Path) -> ViewContest:
        """After the last fit of a set."""
        views, outcome = self._next, path.outcome()
        told = JudgedSet(views=views, accuracy=outcome.rating.accuracy, log_loss=outcome.log_loss)
        found = replace(self, choice=self.choice.with_set(told, path.fits), path=None)
        if views == NO_VIEWS:
            found = replace(found, plain=outcome)
        elif found.choice.best == told:
            found = replace(found, best=outcome)
        return found if next_set(found.choice.judged, found.kinds) is not None else found._decided()

    def _decided(self) -> ViewContest:
        """After the last set: what follows has the rows of the set that is kept."""
        if self.plain is None or self.best is None:
            raise InternalError("no views, or some, have not been judged")
        choice = replace(self.choice, difference=paired_difference(self.plain.right, self.best.right))
        kept = self.best if choice.kept else self.plain
        found = replace(self, choice=choice, plain=None, best=None)
        chosen = _of(self.options, kept.chosen)
        return replace(found, contest=found._then(replace(kept, chosen=replace(chosen, views=choice))))

    def _then(self, kept: Outcome | None) -> Contest:
        """What follows: other kinds of head, if they are to be tried, on the rows of what is kept."""
        if kept is None or kept.chosen.views is None:
            raise InternalError("contest state: nothing is said of views")
        others, views = candidates_of(self.options)[1:], kept.chosen.views.kept
        rows = self.rows_of(views) if others else None
        trials = () if rows is None else tuple(begin_trial(rows, self.classes, each, self.seed) for each in others)
        return Contest(num_folds=kept.chosen.folds, trials=trials, leading=kept)


def judge_of(options: ClassifierOptions) -> LogisticRegressor:
    """What judges features: what is fitted in the end, if it is a logistic regression whose penalty is chosen."""
    first: HeadOptions = candidates_of(options)[0]
    if isinstance(first, LogisticRegressor) and first.l2 is None:
        return first
    return LogisticRegressor(class_weight=options.class_weight)


def _of(options: ClassifierOptions, judged: Chosen) -> Chosen:
    """What was chosen of the options themselves: of a head that leaves nothing to choose nothing but the views."""
    first: HeadOptions = candidates_of(options)[0]
    if first == judge_of(options):
        return judged
    return Chosen(options=first, kind=kind_for(judged.folds), folds=judged.folds, judged=judged.judged)
