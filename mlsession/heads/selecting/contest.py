"""Kinds of head, judged one after the other on the same folds; the first is kept unless a later one is surely better.

    for each candidate:
        judge it, out of fold (`heads.selecting.path`, `heads.selecting.perceptron_trial`)
        keep it if it is the first, or more accurate by more than the standard error of the paired difference

By chance alone one of two equally good candidates is ahead by more than that on one set of images in six: so a
candidate that is not the simplest one must earn its place, and one that is much better will. Source of the rule: the
one-standard-error rule of Breiman, Friedman, Olshen and Stone, "Classification and regression trees" (1984), section
3.4.3, of the paired difference, which varies less than either accuracy.

A contest is a value between two turns; `advance` gives another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlsession.errors import InternalError
from mlsession.heads.comparison import Comparison
from mlsession.heads.options import ClassifierOptions, HeadOptions, LogisticRegressor, candidates_of
from mlsession.heads.paired import paired_difference
from mlsession.heads.selecting.folded import FoldedRows
from mlsession.heads.selecting.path import Path
from mlsession.heads.selecting.perceptron_trial import PerceptronTrial
from mlsession.heads.selecting.trial import TURN, Outcome, Trial
from mlsession.session.phase import PhaseState

LEADING = "leading"
"""What is kept so far, in a state."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contest:
    """The choice on its way."""

    num_folds: int
    trials: tuple[Trial, ...]
    """Those to come; the first one is on its way."""
    leading: Outcome | None = None
    """Of what is kept so far; None before the first trial has ended."""

    @classmethod
    def begin(cls, rows: FoldedRows, classes: tuple[str, ...], options: ClassifierOptions, seed: int) -> Contest:
        """Before the first fit."""
        trials = tuple(begin_trial(rows, classes, candidate, seed) for candidate in candidates_of(options))
        return cls(num_folds=len(rows.folds), trials=trials)

    @property
    def is_done(self) -> bool:
        """Whether all have been judged."""
        return not self.trials

    @property
    def fits(self) -> int:
        """Fits that have ended, of all trials."""
        ended = 0
        if self.leading is not None:
            chosen = self.leading.chosen
            ended = self.num_folds * (len(chosen.scores) + len(chosen.comparisons))
        return ended + (self.trials[0].fits if self.trials else 0)

    @property
    def most_fits(self) -> int:
        """Fits that there will be, at most."""
        now = self.trials[0].fits if self.trials else 0
        return self.fits - now + sum(trial.most_fits for trial in self.trials)

    @property
    def metrics(self) -> dict[str, float]:
        """Of the trial that is on its way, or of what was kept."""
        if self.trials:
            return dict(self.trials[0].metrics)
        return self.outcome.metrics

    @property
    def outcome(self) -> Outcome:
        """What was kept; once it is done."""
        if self.leading is None:
            raise InternalError("nothing has been judged yet")
        return self.leading

    def advance(self, turn: float = TURN) -> Contest:
        """After a turn of the present trial. Raises `InternalError` where all have been judged."""
        if not self.trials:
            raise InternalError("all candidates have been judged")
        trial = self.trials[0].advance(turn)
        if not trial.is_done:
            return replace(self, trials=(trial, *self.trials[1:]))
        outcome = trial.outcome()
        leading = outcome if self.leading is None else kept_of(self.leading, outcome)
        return replace(self, trials=self.trials[1:], leading=leading)

    def to_phase_state(self) -> PhaseState:
        """The saved form, in memory of its own: once it is done what was chosen, and nothing else."""
        if not self.trials:
            return self.outcome.chosen.to_phase_state()
        present = self.trials[0].to_phase_state()
        arrays, data = dict(present.arrays), {**present.data, "candidate": self.trials[0].kind}
        if self.leading is not None:
            leading = self.leading.stored(LEADING)
            arrays, data = {**arrays, **leading.arrays}, {**data, **leading.data}
        return PhaseState(arrays, data)

    def going_on(self, state: PhaseState) -> Contest:
        """The same contest where a state stands. Raises `InternalError`, `KeyError` or `TypeError` for another's."""
        kinds = [trial.kind for trial in self.trials]
        if state.data["candidate"] not in kinds:
            raise InternalError(f"contest state: {state.data['candidate']} is not among {', '.join(kinds)}")
        place = kinds.index(str(state.data["candidate"]))
        others = {name: array for name, array in state.arrays.items() if not name.startswith(f"{LEADING}.")}
        present = self.trials[place].going_on(PhaseState(others, state.data))
        return replace(self, trials=(present, *self.trials[place + 1 :]), leading=Outcome.restored(LEADING, state))


def kept_of(first: Outcome, second: Outcome) -> Outcome:
    """The second only if it is surely better; with the comparison, and what was chosen before it, whichever it is."""
    difference = paired_difference(first.right, second.right)
    comparison = Comparison(first=first.rating, second=second.rating, difference=difference)
    kept, before = (second if difference.is_better else first), first.chosen
    comparisons = (*before.comparisons, comparison)
    chosen = replace(kept.chosen, scores=before.scores, comparisons=comparisons, views=before.views)
    return replace(kept, chosen=chosen)


def begin_trial(rows: FoldedRows, classes: tuple[str, ...], options: HeadOptions, seed: int) -> Trial:
    """A candidate before its first fit."""
    if isinstance(options, LogisticRegressor):
        return Path.begin(rows, classes, options)
    return PerceptronTrial.begin(rows, classes, options, seed)
