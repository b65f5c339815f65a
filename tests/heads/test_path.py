"""The penalty's choice: the scores are those of scikit-learn's fits, it resumes to the bit, and its rules are pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mlsession.errors import InternalError
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.chosen import Chosen, Score
from mlsession.heads.moments import measure
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.selecting.folded import NEVER, FoldedRows, folded_order, folded_rows
from mlsession.heads.selecting.path import STRENGTHS, TOLERANCE, Path, best_of, has_ended
from mlsession.heads.selecting.scoring import log_losses, score_of
from mlsession.heads.temperature import fit_temperature
from mlsession.session.phase import Array
from tests.heads.rows import clusters, names, rows_of, same_bits, stored

CLASSES = 4
NAMES = tuple(names(CLASSES))
COUNT = 240
FOLDS = np.arange(COUNT) % 3


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As a training has it; torch's own threads wait for each other after each of thousands of small operations."""
    with torch_numerics(1):
        yield


def given(count: int = COUNT) -> tuple[Array, Array]:
    values, labels = clusters(count, 12, CLASSES)
    return values.astype(np.float16), labels


def folded(folds: Array = FOLDS, original: Array | None = None) -> FoldedRows:
    values, labels = given(len(folds))
    shown = np.ones(len(folds), dtype=np.bool_) if original is None else original
    order = folded_order(folds, shown)
    moments = measure(rows_of(values, labels), NAMES)
    return folded_rows(rows_of(values[order], labels[order], 50), folds[order], shown[order], order, moments)


def walked(path: Path, turn: float = 0.0) -> list[Path]:
    """The path after each of its turns, of one iteration by default."""
    found = [path]
    while not found[-1].is_done:
        found.append(found[-1].advance(turn))
    return found


@pytest.fixture(scope="module")
def paths(one_thread: None) -> list[Path]:
    return walked(Path.begin(folded(), NAMES, LogisticRegressor()))


def test_scores_are_those_of_scikit_learn(paths: list[Path]) -> None:
    """At each strength, with C as it keeps it for folds of any size; exact to what looser fits may differ."""
    values, labels = given()
    exact, unit = values.astype(np.float64), values.astype(np.float64).var(axis=0).mean()
    scores = paths[-1].state.scores
    assert len(scores) >= 4
    for score in scores:
        probabilities = np.zeros((COUNT, CLASSES))
        for fold in range(3):
            inside = fold == FOLDS
            oracle = LogisticRegression(C=1 / (score.strength * unit), solver="newton-cholesky", tol=1e-8)
            probabilities[inside] = oracle.fit(exact[~inside], labels[~inside]).predict_proba(exact[inside])
        logits = np.log(probabilities)
        temperature = fit_temperature(logits, labels)
        assert score.temperature == pytest.approx(temperature, rel=0.1)
        losses = log_losses(logits, labels, temperature)
        assert score.log_loss == pytest.approx(losses.mean(), abs=0.01)
        assert score.accuracy == pytest.approx((probabilities.argmax(axis=1) == labels).mean(), abs=0.02)
        assert score.log_loss_error == pytest.approx(losses.std() / COUNT**0.5, rel=0.1)
        assert score.accuracy_error == pytest.approx((score.accuracy * (1 - score.accuracy) / COUNT) ** 0.5)


def test_what_is_chosen_follows_from_the_scores(paths: list[Path]) -> None:
    path, rows = paths[-1], folded()
    chosen, best = path.chosen(), min(path.state.scores, key=lambda score: score.log_loss)
    assert isinstance(chosen.options, LogisticRegressor)
    assert (chosen.strength, chosen.folds, chosen.judged) == (best.strength, 3, COUNT)
    assert chosen.options.l2 == pytest.approx(best.strength * float(rows.moments.variance.mean()) / COUNT)
    # The logits that it follows from have the log loss of the score.
    logits, labels = path.state.best_logits, rows.judged_labels
    assert chosen.temperature == best.temperature == fit_temperature(logits, labels)
    assert log_losses(logits, labels, chosen.temperature).mean() == pytest.approx(best.log_loss)
    # On features as they are the start is about as good as a head that is fitted to everything.
    assert chosen.start is not None
    values, labels = given()
    exact, l2 = values.astype(np.float64), chosen.options.l2 or 0.0
    own = log_losses(exact @ chosen.start.weights.T + chosen.start.bias, labels).mean()
    oracle = LogisticRegression(C=1 / (COUNT * l2), solver="newton-cholesky").fit(exact, labels)
    assert own == pytest.approx(log_loss(labels, oracle.predict_proba(exact)), abs=0.02)


@pytest.mark.parametrize("turn", [0.0, 1e5, 1e12])
def test_turns_of_any_length_and_restores_between_them_change_no_bit(paths: list[Path], turn: float) -> None:
    path, turns = Path.begin(folded(), NAMES, LogisticRegressor()), 0
    while not path.is_done:
        path, turns = path.advance(turn), turns + 1
        path = Path.begin(path.rows, NAMES, path.options).going_on(stored(path.to_phase_state()))
    assert same_bits(path.chosen().to_phase_state(), paths[-1].chosen().to_phase_state())
    fits = len(path.state.scores) * 3
    assert turns == {0.0: len(paths) - 1, 1e12: fits}.get(turn, turns)
    assert fits <= turns <= len(paths) - 1


def test_a_fit_begins_where_the_one_before_it_ended(paths: list[Path]) -> None:
    iterations = [len({id(path) for path in paths if len(path.state.scores) == place}) for place in range(4)]
    assert max(iterations) < 40
    assert paths[1].state.fit is not None
    fresh = Path.begin(folded(), NAMES, LogisticRegressor())
    late = replace(fresh, strengths=STRENGTHS[3:4])
    warm = [path for path in paths if len(path.state.scores) == 3]
    assert len(warm) < len(walked(late))


def test_views_are_fitted_to_and_not_judged() -> None:
    original = np.arange(COUNT) % 4 < 2
    rows = folded(np.repeat(np.arange(COUNT // 4) % 3, 4), original)
    assert rows.num_judged == original.sum()
    for fold, each in enumerate(rows.folds):
        assert len(rows.fitted(fold)) == COUNT - (each.stop - each.start)
        assert each.judged - each.start == (each.stop - each.start) // 2


def test_rows_that_are_never_judged_are_in_every_fit() -> None:
    folds = np.where(np.arange(COUNT) < 100, NEVER, FOLDS)
    rows = folded(folds)
    assert rows.num_judged == COUNT - 100
    assert all(len(rows.fitted(fold)) == COUNT - (folds == fold).sum() for fold in range(3))
    path = walked(Path.begin(rows, NAMES, LogisticRegressor()), 1e12)[-1]
    assert path.chosen().judged == COUNT - 100


def test_class_weights_change_the_choice_and_what_it_is_judged_by() -> None:
    plain = walked(Path.begin(folded(), NAMES, LogisticRegressor()), 1e12)[-1]
    options = LogisticRegressor(class_weight={NAMES[0]: 20.0})
    weighted = walked(Path.begin(folded(), NAMES, options), 1e12)[-1]
    chosen = weighted.chosen().options
    assert chosen == replace(options, l2=chosen.l2, tolerance=TOLERANCE)  # type: ignore[union-attr]
    assert (weighted.state.best_logits[:, 0] > plain.state.best_logits[:, 0]).mean() > 0.9
    labels = folded().judged_labels
    best = weighted.state.scores[best_of(weighted.state.scores)]
    losses = log_losses(weighted.state.best_logits, labels, best.temperature)
    weights = np.where(labels == 0, 20.0, 1.0)
    assert best.log_loss == pytest.approx(np.average(losses, weights=weights))


def score(log_loss: float) -> Score:
    return Score(strength=1.0, temperature=1.0, log_loss=log_loss, log_loss_error=0.1, accuracy=0.5, accuracy_error=0.1)


@pytest.mark.parametrize(
    ("losses", "best", "ended"),
    [
        ([0.5], 0, False),
        ([0.5, 0.6], 0, False),
        ([0.5, 0.6, 0.5], 0, True),
        ([0.5, 0.6, 0.49], 2, False),
        ([0.5, 0.4, 0.4, 0.4], 1, True),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 4, True),
    ],
)
def test_the_least_log_loss_wins_and_two_that_are_no_better_end_the_path(
    losses: list[float], best: int, ended: bool
) -> None:
    scores = [score(loss) for loss in losses]
    assert (best_of(scores), has_ended(scores, most=5)) == (best, ended)


def test_log_losses_stay_finite_however_large_logits_are() -> None:
    logits = np.array([[1000.0, 0.0], [-1000.0, 1000.0]], dtype=np.float32)
    np.testing.assert_allclose(log_losses(logits, np.array([0, 0])), [0.0, 2000.0])
    found = score_of(3.0, logits, np.array([0, 0]), np.ones(2))
    assert (found.strength, found.accuracy, found.temperature) == (3.0, 0.5, 20.0)
    assert found.log_loss == pytest.approx(50.0)


def test_a_choice_is_stored_and_read_back(paths: list[Path]) -> None:
    chosen = paths[-1].chosen()
    again = Chosen.from_phase_state(stored(chosen.to_phase_state()))
    assert again.to_json() == chosen.to_json()
    assert same_bits(again.to_phase_state(), chosen.to_phase_state())
    assert Chosen.from_phase_state(Chosen(options=LogisticRegressor(), kind="default").to_phase_state()).start is None


def test_a_state_of_other_rows_is_refused(paths: list[Path]) -> None:
    fewer = Path.begin(folded(FOLDS[:-6]), NAMES, LogisticRegressor())
    with pytest.raises(InternalError, match="other rows"):
        fewer.going_on(paths[5].to_phase_state())
