"""The contest of two kinds of head: what is judged, what is kept, and that it resumes to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mlsession.errors import InternalError
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.chosen import Chosen
from mlsession.heads.forward import ViewsChoice
from mlsession.heads.moments import measure
from mlsession.heads.options import AutomaticClassifier, HeadOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.heads.perceptron.fit import PerceptronFit
from mlsession.heads.selecting.contest import Contest, kept_of
from mlsession.heads.selecting.folded import FoldedRows, folded_order, folded_rows
from mlsession.heads.selecting.path import Path
from mlsession.heads.selecting.perceptron_trial import MOST_EPOCHS, PerceptronTrial
from mlsession.heads.selecting.scoring import log_losses
from mlsession.heads.selecting.trial import Outcome
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from tests.heads.rows import RowsInMemory, clusters, names, rows_of, same_bits, stored

COUNT, CLASSES = 400, 3
NAMES = tuple(names(CLASSES))
FOLDS = np.arange(COUNT) % 2
AUTOMATIC = AutomaticClassifier(
    perceptron=MultilayerPerceptron(layer_sizes=(16,), learning_rate=0.02, dropout=0.0, batch_size=64)
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with torch_numerics(1):
        yield


def folded(values: Array, labels: Array) -> FoldedRows:
    order = folded_order(FOLDS, np.ones(COUNT, dtype=np.bool_))
    moments, shown = measure(rows_of(values, labels), NAMES), np.ones(COUNT, dtype=np.bool_)
    return folded_rows(rows_of(values[order], labels[order]), FOLDS[order], shown, order, moments)


def linear() -> tuple[Array, Array]:
    """What logistic regression can tell apart."""
    return clusters(COUNT, 6, CLASSES)


def curved() -> tuple[Array, Array]:
    """What it cannot: two of the classes are the quadrants of a plane."""
    generator = keyed_generator(0, "quadrants")
    values = generator.normal(size=(COUNT, 3)).astype(np.float32)
    labels = np.where(values[:, 0] * values[:, 1] > 0, 1, 0)
    labels[values[:, 2] > 1] = 2
    return values, labels.astype(np.int64)


def begun(values: Array, labels: Array, automatic: AutomaticClassifier = AUTOMATIC) -> Contest:
    return Contest.begin(folded(values, labels), NAMES, automatic, seed=3)


def walked(contest: Contest, turn: float = 0.0) -> list[Contest]:
    found = [contest]
    while not found[-1].is_done:
        found.append(found[-1].advance(turn))
    return found


@pytest.fixture(scope="module")
def contests(one_thread: None) -> list[Contest]:
    """After each turn, of one iteration or epoch."""
    return walked(begun(*curved()))


def test_what_is_surely_better_is_kept(contests: list[Contest]) -> None:
    chosen = contests[-1].outcome.chosen
    (comparison,) = chosen.comparisons
    assert (chosen.options, chosen.strength, chosen.temperature, chosen.start) == (
        AUTOMATIC.perceptron,
        None,
        1.0,
        None,
    )
    assert (chosen.folds, chosen.judged, chosen.kind) == (2, COUNT, "cross-validation")
    assert comparison.second.accuracy > 0.85 > 0.7 > comparison.first.accuracy
    assert comparison.difference.difference == pytest.approx(comparison.second.accuracy - comparison.first.accuracy)
    assert chosen.accuracy == comparison.second.accuracy
    assert len(chosen.scores) >= 3


def test_what_is_no_better_is_not_and_nothing_but_the_comparison_is_new() -> None:
    values, labels = linear()
    found = walked(begun(values, labels), 1e12)[-1].outcome.chosen
    alone = walked(Contest.begin(folded(values, labels), NAMES, LogisticRegressor(), 3), 1e12)[-1].outcome.chosen
    assert len(found.comparisons) == 1
    assert not found.comparisons[0].difference.is_better
    assert found.accuracy == found.comparisons[0].first.accuracy == alone.accuracy
    assert same_bits(replace(found, comparisons=()).to_phase_state(), alone.to_phase_state())


@pytest.mark.parametrize(("gained", "lost", "is_second"), [(4, 1, True), (3, 2, False), (2, 2, False), (1, 4, False)])
def test_the_second_is_kept_by_the_rule_of_the_paired_difference(gained: int, lost: int, is_second: bool) -> None:
    def outcome(options: HeadOptions, right: slice, strength: float | None = None) -> Outcome:
        answers = np.zeros(40, dtype=np.bool_)
        answers[right] = True
        chosen = Chosen(options=options, kind="cross-validation", strength=strength)
        return Outcome(chosen=chosen, right=answers, log_loss=0.5)

    first = outcome(LogisticRegressor(l2=0.5), slice(0, 20), strength=3.0)
    first = replace(first, chosen=replace(first.chosen, views=ViewsChoice(fits=7)))
    second = outcome(AUTOMATIC.perceptron, slice(lost, 20 + gained))
    kept = kept_of(first, second)
    expected = second if is_second else first
    assert (kept.chosen.options, kept.chosen.strength) == (expected.chosen.options, expected.chosen.strength)
    assert (kept.right == expected.right).all()
    assert kept.chosen.comparisons[0].kept == kept.rating
    assert kept.chosen.views == ViewsChoice(fits=7)  # Chosen before, whichever it is.


def test_a_perceptron_is_judged_out_of_fold_on_the_same_images(contests: list[Contest]) -> None:
    """As by fits to the other folds, at hand: but for the mean, which is taken off before and not after."""
    values, labels = curved()
    logits = np.zeros((COUNT, CLASSES), dtype=np.float32)
    for fold in range(2):
        inside = fold == FOLDS
        order = np.argsort(FOLDS[~inside], kind="stable")
        rows = RowsInMemory(
            values[~inside][order], labels[~inside][order], contents=np.flatnonzero(~inside)[order].astype(np.int64)
        )
        fit = PerceptronFit.begin(rows, NAMES, AUTOMATIC.perceptron, 3)
        while not fit.converged and fit.iteration < MOST_EPOCHS:
            fit = fit.advance(rows)
        logits[inside] = fit.head().logits(values[inside])
    rating = contests[-1].outcome.chosen.comparisons[0].second
    assert rating.accuracy == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=0.01)
    assert rating.log_loss == pytest.approx(log_losses(logits, labels).mean(), abs=0.01)


@pytest.mark.parametrize("turn", [0.0, 1e12])
def test_turns_of_any_length_and_restores_between_them_change_no_bit(contests: list[Contest], turn: float) -> None:
    contest, turns, within = contests[0], 0, 0
    while not contest.is_done:
        contest, turns = contest.advance(turn), turns + 1
        if not contest.is_done:
            state = stored(contest.to_phase_state())
            within += state.data["candidate"] == "multilayer_perceptron" and state.data["fit"] is not None
            contest = contests[0].going_on(state)
    assert same_bits(contest.to_phase_state(), contests[-1].to_phase_state())
    assert turns == (contest.fits if turn else len(contests) - 1)
    assert (within > 20) == (turn == 0)


def test_fits_are_counted_over_both(contests: list[Contest]) -> None:
    fits = [contest.fits for contest in contests]
    assert fits == sorted(fits)
    assert fits[-1] == contests[-1].most_fits == 2 * (len(contests[-1].outcome.chosen.scores) + 1)
    assert all(contest.fits <= contest.most_fits for contest in contests)
    assert "strength" not in contests[-2].metrics
    assert contests[-1].metrics["accuracy"] == contests[-1].outcome.rating.accuracy


def test_class_weights_reach_both() -> None:
    weighted = begun(*curved(), automatic=AutomaticClassifier(class_weight="balanced", perceptron=AUTOMATIC.perceptron))
    path, perceptron = weighted.trials
    assert isinstance(path, Path)
    assert isinstance(perceptron, PerceptronTrial)
    assert path.options.class_weight == perceptron.options.class_weight == "balanced"


def test_a_state_of_another_contest_is_refused(contests: list[Contest]) -> None:
    values, labels = curved()
    state = contests[-2].to_phase_state()
    logistic = Contest.begin(folded(values, labels), NAMES, LogisticRegressor(), 3)
    with pytest.raises(InternalError, match="multilayer_perceptron is not among logistic_regressor"):
        logistic.going_on(state)
    fewer = replace(state, arrays={**state.arrays, "logits": state.arrays["logits"][1:]})
    with pytest.raises(InternalError, match="other rows"):
        contests[0].going_on(fewer)
    with pytest.raises(InternalError, match="judged"):
        contests[-1].advance()
