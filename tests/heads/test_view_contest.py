"""The choice of views: what is judged with which rows, what is kept, and that it resumes to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from mlsession.errors import InternalError
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.moments import measure
from mlsession.heads.options import (
    AutomaticClassifier,
    ClassifierOptions,
    HeadOptions,
    LogisticRegressor,
    MultilayerPerceptron,
)
from mlsession.heads.selecting.contest import Contest
from mlsession.heads.selecting.folded import FoldedRows, folded_order, folded_rows
from mlsession.heads.selecting.path import STRENGTHS, Path
from mlsession.heads.selecting.view_contest import ViewContest
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from tests.heads.rows import names, rows_of, same_bits, stored

IMAGES, CLASSES, FEATURES = 90, 3, 12
NAMES = tuple(names(CLASSES))
LOGISTIC = LogisticRegressor()
KINDS = ("good", "noisy", "wrong")
AUTOMATIC = AutomaticClassifier(
    perceptron=MultilayerPerceptron(layer_sizes=(8,), learning_rate=0.02, dropout=0.0, batch_size=32)
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with torch_numerics(1):
        yield


def images() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Each image is its class and much noise, [IMAGES, 4, FEATURES]: itself, and a view of each kind.

    A good view has less noise than the image, a noisy one more; a wrong one is of another class.
    """
    generator = keyed_generator(0, "images with views")
    labels = np.arange(IMAGES) % CLASSES
    centres = 1.2 * generator.normal(size=(CLASSES, FEATURES))
    noise = generator.normal(size=(IMAGES, 4, FEATURES)) * np.array([2.0, 1.0, 8.0, 2.0])[:, None]
    values = centres[labels][:, None] + noise
    values[:, 3] += centres[(labels + 1) % CLASSES] - centres[labels]
    return values.astype(np.float32), labels


VALUES, LABELS = images()


def rows_with(kinds: tuple[str, ...]) -> FoldedRows:
    """The images in two folds, with their views of some kinds."""
    views = [0, *(KINDS.index(kind) + 1 for kind in kinds)]
    values = VALUES[:, views].reshape(-1, FEATURES)
    image = np.repeat(np.arange(IMAGES), len(views))
    original = np.tile(np.arange(len(views)) == 0, IMAGES)
    folds = image // CLASSES % 2
    order = folded_order(folds, original)
    moments = measure(rows_of(values, LABELS[image]), NAMES)
    rows = rows_of(values[order], LABELS[image][order])
    return folded_rows(rows, folds[order], original[order], image[order], moments)


def begun(options: ClassifierOptions = LOGISTIC) -> ViewContest:
    return ViewContest(rows_of=rows_with, kinds=KINDS, classes=NAMES, options=options, seed=3)


def walked(contest: ViewContest, turn: float = 1e12) -> list[ViewContest]:
    found = [contest]
    while not found[-1].is_done:
        found.append(found[-1].advance(turn))
    return found


@pytest.fixture(scope="module")
def contests(one_thread: None) -> list[ViewContest]:
    """After each turn, of one iteration or epoch; then a perceptron is tried."""
    return walked(begun(AUTOMATIC), 0.0)


@pytest.fixture(scope="module")
def logistic(one_thread: None) -> ViewContest:
    """Where the penalty of a logistic regression is all that is chosen beside the views."""
    return walked(begun())[-1]


def alone(kinds: tuple[str, ...], strengths: tuple[float, ...] = STRENGTHS) -> Path:
    path = replace(Path.begin(rows_with(kinds), NAMES, LogisticRegressor()), strengths=strengths)
    while not path.is_done:
        path = path.advance(1e12)
    return path


def test_views_that_are_as_good_as_new_images_are_kept_and_wrong_ones_are_not(logistic: ViewContest) -> None:
    chosen, views = logistic.to_phase_state().data["chosen"], logistic.choice
    assert views.kept == ("good",)
    assert views.difference is not None
    assert views.difference.is_better
    assert [each.views for each in views.judged][:4] == [(), *((kind,) for kind in KINDS)]
    losses = {each.views: each.log_loss for each in views.judged}
    assert losses["good",] < losses[()] < losses["wrong",]
    assert isinstance(chosen, dict)
    assert chosen["views"] == views.to_json()


def test_each_set_is_judged_as_a_path_of_its_rows_alone(logistic: ViewContest) -> None:
    """Without views by all penalties; with some from ten times the best of those on."""
    found = logistic
    plain, of_set = alone(()), found.choice.judged
    best = STRENGTHS.index(plain.chosen().strength)
    good = alone(("good",), STRENGTHS[max(best - 2, 0) :])
    for path, judged in ((plain, of_set[0]), (good, of_set[1])):
        assert judged.log_loss == path.outcome().log_loss
        assert judged.accuracy == path.outcome().rating.accuracy
    assert found.contest is not None
    kept = found.contest.outcome.chosen
    assert same_bits(replace(kept, views=None).to_phase_state(), good.chosen().to_phase_state())
    assert found.fits == found.choice.fits
    assert found.choice.fits >= plain.fits + good.fits


def test_where_nothing_helps_all_is_as_without_the_choice() -> None:
    without = replace(begun(), kinds=KINDS[1:])
    kept = walked(without)[-1]
    assert kept.choice.kept == ()
    assert kept.contest is not None
    assert same_bits(
        replace(kept.contest.outcome.chosen, views=None).to_phase_state(), alone(()).chosen().to_phase_state()
    )


@pytest.mark.parametrize("turn", [0.0, 1e12])
def test_turns_of_any_length_and_restores_between_them_change_no_bit(contests: list[ViewContest], turn: float) -> None:
    contest, within = contests[0], 0
    while not contest.is_done:
        contest = contest.advance(turn)
        if not contest.is_done:
            state = stored(contest.to_phase_state())
            within += state.data.get("is_judging") is True and state.data["fit"] is not None
            contest = contests[0].going_on(state)
    assert same_bits(contest.to_phase_state(), contests[-1].to_phase_state())
    assert (within > 20) == (turn == 0)


def test_the_kind_of_head_is_chosen_with_the_views_that_are_kept(contests: list[ViewContest]) -> None:
    last = contests[-1].contest
    assert last is not None
    chosen = last.outcome.chosen
    assert chosen.views is not None
    assert chosen.views.kept == ("good",)
    (comparison,) = chosen.comparisons
    whole = Contest.begin(rows_with(("good",)), NAMES, AUTOMATIC, 3)
    while not whole.is_done:
        whole = whole.advance(1e12)
    assert comparison.second == whole.outcome.chosen.comparisons[0].second


def test_fits_are_counted_over_all(contests: list[ViewContest]) -> None:
    fits = [contest.fits for contest in contests]
    assert fits == sorted(fits)
    assert fits[-1] == contests[-1].most_fits == contests[-1].choice.fits + 2
    assert all(each.most_fits is None or each.fits <= each.most_fits for each in contests)
    assert contests[0].most_fits is None


@pytest.mark.parametrize("options", [LogisticRegressor(l2=0.1), AUTOMATIC.perceptron])
def test_a_head_that_leaves_nothing_else_to_choose_is_as_given(options: HeadOptions) -> None:
    last = walked(replace(begun(options), kinds=("good",)))[-1].contest
    assert last is not None
    chosen = last.outcome.chosen
    assert chosen.views is not None
    assert chosen.views.kept == ("good",)
    assert (chosen.options, chosen.strength, chosen.temperature, chosen.start) == (options, None, 1.0, None)
    assert (chosen.kind, chosen.folds, chosen.judged, chosen.scores) == ("cross-validation", 2, IMAGES, ())


def test_class_weights_reach_what_judges() -> None:
    weighted = replace(AUTOMATIC.perceptron, class_weight={NAMES[0]: 3.0})
    path = begun(weighted).advance(0.0).path
    assert path is not None
    assert path.options.class_weight == weighted.class_weight


def test_a_state_of_another_choice_is_refused(contests: list[ViewContest]) -> None:
    judging = contests[5].to_phase_state()
    fewer: dict[str, Array] = dict(judging.arrays)
    fewer |= {name: fewer[name][1:] for name in ("logits", "best_logits")}
    with pytest.raises(InternalError, match="other rows"):
        contests[0].going_on(replace(judging, arrays=fewer))
    without = Contest.begin(rows_with(()), NAMES, AUTOMATIC, 3)
    while without.leading is None:
        without = without.advance(1e12)
    with pytest.raises(InternalError, match="nothing is said of views"):
        contests[0].going_on(without.to_phase_state())
