"""The selecting phase, without a session: what it chooses on, exact resume, and what training makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mlsession.augment.options import Blur, Flip
from mlsession.augment.views import ViewPlan
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.chosen import Chosen
from mlsession.heads.fitting import begin_fit
from mlsession.heads.forward import ViewsChoice
from mlsession.heads.options import (
    AutomaticClassifier,
    ClassifierOptions,
    HeadOptions,
    LogisticRegressor,
    MultilayerPerceptron,
    kind_of,
)
from mlsession.heads.selecting.folded import FoldedRows, PickedRows
from mlsession.heads.selecting.trial import TURN
from mlsession.heads.selecting.view_contest import ViewContest
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import ENOUGH_JUDGED
from mlsession.phases.select import Selecting
from mlsession.phases.train import TableRows, Training
from mlsession.phases.trained import chosen_of, trained_head
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import decode_state, encode_state
from mlsession.session.phase import PhaseState, Step
from tests.heads.rows import clusters, same_bits

CLASSES = ("cat", "dog", "owl")
OPTIONS = LogisticRegressor()
VIEWS = ViewPlan(options=(Blur(views=1), Flip()))
AUTOMATIC = AutomaticClassifier(perceptron=MultilayerPerceptron(layer_sizes=(8,)))


def table(images: int = 90, views: int = 2, held_out: int = 4) -> FeatureTable:
    """Images with views; one in `held_out` is held out, and one cannot be read. The last is a copy of the first."""
    features, labels = clusters(images, 8, len(CLASSES))
    image = np.repeat(np.arange(images), views)
    original = np.tile(np.arange(views) == 0, images)
    noise = clusters(images * views, 8, len(CLASSES), seed=5)[0] * np.float32(0.1)
    readable, validation = image != 17, image % held_out == 3
    digests = keyed_generator(0, "contents").integers(0, 256, (images, 32), dtype=np.uint8)
    digests[-1] = digests[0]
    labels[-1] = labels[0]
    return FeatureTable(
        features=to_half(np.where(original[:, None], features[image], features[image] + noise)),
        labels=labels[image],
        image=image,
        digests=digests,
        original=original,
        training=readable & ~validation,
        validation=readable & validation & original,
    )


def selecting(
    rows: FeatureTable,
    tune: str = "cross-validation",
    turn: float = TURN,
    most_rows: int = 10**6,
    seed: int = 0,
    options: ClassifierOptions = OPTIONS,
    views: ViewPlan | None = None,
) -> Selecting:
    return Selecting(lambda: rows, CLASSES, options, tune, seed, lambda: torch_numerics(1), turn, most_rows, views)


def states(runner: Selecting, state: PhaseState | None = None) -> Iterator[tuple[Step, PhaseState]]:
    for step in runner.run(state):
        yield step, step.snapshot()


def chosen(runner: Selecting) -> Chosen:
    *_, (_, state) = states(runner)
    found = chosen_of(state)
    assert found is not None
    return found


def folded(runner: Selecting, rows: FeatureTable) -> FoldedRows:
    with torch_numerics(1):
        folds = runner._folding.of_images(rows)
        assert folds is not None
        return runner._folding.rows(rows, folds)


def reread(state: PhaseState) -> PhaseState:
    """Through the codec of a store."""
    return decode_state(encode_state(state), "state")


def test_a_run_from_any_state_gives_the_states_of_the_unbroken_run() -> None:
    """A turn of one iteration: so also in the midst of a fold's fit."""
    rows = table(images=60, views=1)
    unbroken = list(states(selecting(rows, turn=0.0)))
    within = [place for place, (_, state) in enumerate(unbroken) if state.data.get("fit") is not None]
    assert len(within) > len(unbroken) / 2
    for place in (0, 1, within[20], within[-1], len(unbroken) - 2):
        step, following = next(iter(states(selecting(rows, turn=0.0), reread(unbroken[place][1]))))
        assert same_bits(following, unbroken[place + 1][1])
        assert (step.iteration, step.item_count) == (place + 2, unbroken[place + 1][0].item_count)
    *_, (_, whole) = states(selecting(rows))
    assert same_bits(replace(whole, data={**whole.data, "iteration": len(unbroken)}), unbroken[-1][1])


def test_steps_count_fits_and_only_the_last_says_what_was_chosen() -> None:
    found = list(states(selecting(table())))
    assert [step.iteration for step, _ in found] == [step.item_count for step, _ in found]
    assert [chosen_of(state) is not None for _, state in found] == [False] * (len(found) - 1) + [True]
    assert [step.last for step, _ in found] == [False] * (len(found) - 1) + [True]
    last = chosen_of(reread(found[-1][1]))
    assert last is not None
    best = min(last.scores, key=lambda score: score.log_loss)
    assert found[-1][0].metrics == {
        "strength": best.strength,
        "log_loss": best.log_loss,
        "accuracy": best.accuracy,
    }
    assert len(found) == 5 * len(last.scores)


def test_images_are_judged_once_by_heads_that_have_seen_neither_them_nor_copies() -> None:
    rows = table()
    found = folded(selecting(rows), rows)
    shown = rows.training & rows.original
    assert found.num_judged == shown.sum()
    assert len(found.labels) == rows.training.sum()
    mean = found.moments.mean.float().numpy()
    values = found.features.numpy() + mean
    first, copy = (rows.features[2 * place].astype(np.float32) for place in (0, 89))
    for fold, each in enumerate(found.folds):
        judged = values[each.start : each.judged]
        fitted = np.concatenate([values[slice(*run)] for run in found.fitted(fold).runs])
        for one, other in ((first, copy), (copy, first)):
            if np.isclose(judged, one, atol=1e-5).all(axis=1).any():
                assert not np.isclose(fitted, other, atol=1e-5).all(axis=1).any()
        # Views of what is judged are neither judged nor fitted to.
        assert each.stop - each.start == 2 * (each.judged - each.start)


def test_validation_images_judge_heads_of_all_others() -> None:
    rows = table()
    found = folded(selecting(rows, "validation"), rows)
    assert len(found.folds) == 1
    assert found.num_judged == rows.validation.sum()
    assert len(found.fitted(0)) == rows.training.sum()
    last = chosen(selecting(rows, "validation"))
    assert (last.kind, last.folds, last.judged) == ("validation", 1, rows.validation.sum())
    assert chosen(selecting(replace(rows, validation=np.zeros_like(rows.validation)), "validation")).kind == "default"


@pytest.mark.parametrize("tune", ["cross-validation", "validation"])
def test_of_too_few_images_nothing_is_chosen(tune: str) -> None:
    ((step, state),) = states(selecting(table(images=24), tune))
    assert (step.last, step.iteration, step.total_items) == (True, 1, 0)
    found = chosen_of(reread(state))
    assert found is not None
    assert (found.kind, found.options, found.temperature, found.start) == ("default", OPTIONS, 1.0, None)


def test_a_class_in_one_fold_stays_in_all_fits() -> None:
    rows = table(images=91, views=1, held_out=100)
    labels = np.where(np.arange(91) == 5, 2, rows.labels % 2)
    rows = replace(rows, labels=labels)
    found = folded(selecting(rows), rows)
    assert found.num_judged == rows.training.sum() - 1
    assert (found.labels[: found.folds[0].start] == 2).all()
    assert np.isfinite([score.log_loss for score in chosen(selecting(rows)).scores]).all()


def test_of_many_images_a_sample_is_taken() -> None:
    rows = table(images=200)
    found = folded(selecting(rows, most_rows=100), rows)
    assert 80 <= len(found.labels) <= 100
    again = folded(selecting(rows, most_rows=100), rows)
    assert (again.features == found.features).all()
    assert (folded(selecting(rows, most_rows=100, seed=1), rows).features[:40] != found.features[:40]).any()
    assert found.moments.rows == rows.training.sum()


def test_of_many_images_not_all_folds_are_judged() -> None:
    images = 3 * ENOUGH_JUDGED
    values, labels = clusters(images, 4, 3)
    everything = np.ones(images, dtype=np.bool_)
    rows = FeatureTable(
        features=to_half(values),
        labels=labels,
        image=np.arange(images),
        digests=keyed_generator(0, "contents").integers(0, 256, (images, 32), dtype=np.uint8),
        original=everything,
        training=everything,
        validation=~everything,
    )
    found = folded(selecting(rows), rows)
    assert len(found.folds) == 2
    assert found.num_judged == pytest.approx(2 * images / 5, rel=0.01)


def test_training_begins_at_the_choice_and_ends_at_its_optimum() -> None:
    rows = table()
    last = chosen(selecting(rows))
    assert isinstance(last.options, LogisticRegressor)
    with torch_numerics(1):
        cold = begin_fit(TableRows(rows), CLASSES, last.options, 0)
        warm = begin_fit(TableRows(rows), CLASSES, last.options, 0, last)
        while not cold.converged:
            cold = cold.advance(TableRows(rows))
    found = list(Training(lambda: rows, CLASSES, OPTIONS, 0, 100, lambda: torch_numerics(1), lambda: last).run(None))
    assert len(found) < cold.iteration
    state = reread(found[-1].snapshot())
    assert found[-1].metrics["loss"] == pytest.approx(cold.losses[-1], rel=1e-5)
    assert warm.head().num_classes == 3
    assert state.data["temperature"] == last.temperature
    assert state.data["l2"] == last.options.l2
    logits = cold.head().logits(rows.features.astype(np.float32)) / last.temperature
    np.testing.assert_allclose(trained_head(state).logits(rows.features.astype(np.float32)), logits, atol=0.02)


def test_a_perceptron_is_judged_after_the_penalty_and_resumes_within_its_fits() -> None:
    rows = table(images=48, views=1)
    unbroken = list(states(selecting(rows, turn=1e5, options=AUTOMATIC)))
    others = [
        place
        for place, (_, state) in enumerate(unbroken)
        if state.data.get("candidate") == "multilayer_perceptron" and state.data["fit"] is not None
    ]
    assert len(others) > 5
    for place in (others[0], others[-1], len(unbroken) - 2):
        step, following = next(iter(states(selecting(rows, turn=1e5, options=AUTOMATIC), reread(unbroken[place][1]))))
        assert same_bits(following, unbroken[place + 1][1])
        assert (step.iteration, step.item_count) == (place + 2, unbroken[place + 1][0].item_count)
    last = chosen_of(reread(unbroken[-1][1]))
    assert last is not None
    assert unbroken[-1][0].item_count == 5 * (len(last.scores) + 1)
    assert last.comparisons[0].difference.judged == (rows.training & rows.original).sum()


@pytest.mark.parametrize("kept", [AUTOMATIC.perceptron, OPTIONS])
def test_training_fits_the_kind_that_was_kept_and_resumes(kept: HeadOptions) -> None:
    rows = table()
    last = Chosen(options=kept, kind="cross-validation")
    training = Training(lambda: rows, CLASSES, AUTOMATIC, 0, 4, lambda: torch_numerics(1), lambda: last)
    unbroken = [step.snapshot() for step in training.run(None)]
    assert unbroken[-1].data["head"] == kind_of(kept)
    resumed = [step.snapshot() for step in training.run(reread(unbroken[1]))]
    assert same_bits(resumed[-1], unbroken[-1])


def test_views_and_copies_of_what_is_judged_are_not_fitted_to_by_a_perceptron() -> None:
    rows = table()
    found = folded(selecting(rows), rows)
    for fold, each in enumerate(found.folds):
        picked = PickedRows.fitted(found, fold)
        judged = found.contents[each.start : each.stop]
        assert not np.isin(picked.contents, judged).any()
        assert len(picked) == rows.training.sum() - len(judged)
        assert picked.originals.sum() == len(picked) / 2
        taken = np.concatenate([block["features"] for block in picked()])
        assert (taken == picked.take(np.arange(len(picked)))["features"]).all()


def test_of_too_few_images_it_is_logistic_regression() -> None:
    found = chosen(selecting(table(images=24), options=AUTOMATIC))
    assert (found.kind, found.options, found.comparisons) == ("default", OPTIONS, ())


def test_validation_images_choose_the_kind_as_well() -> None:
    rows = table()
    (comparison,) = chosen(selecting(rows, "validation", options=AUTOMATIC)).comparisons
    assert comparison.difference.judged == rows.validation.sum()


@pytest.mark.parametrize("tune", ["cross-validation", "validation"])
def test_sets_of_views_are_judged_on_the_same_images_as_if_there_were_no_others(tune: str) -> None:
    rows = table(images=100, views=3)
    last = chosen(selecting(rows, tune, views=VIEWS))
    assert last.views is not None
    assert [each.views for each in last.views.judged][:3] == [(), ("blur",), ("flip",)]
    plain = chosen(selecting(rows.of_views((0,)), tune))
    best = next(score for score in plain.scores if score.strength == plain.strength)
    assert (last.views.judged[0].log_loss, last.views.judged[0].accuracy) == (best.log_loss, best.accuracy)
    assert last.judged == plain.judged
    assert last.views.difference is not None
    assert last.views.difference.judged == plain.judged


def test_views_of_an_image_stay_in_its_fold() -> None:
    """Also where a sample is taken: of one size for all sets, so all are judged on the same images."""
    rows = table(images=200, views=3)
    for most in (10**6, 150):
        begun = selecting(rows, most_rows=most, views=VIEWS)._begun(rows)
        assert isinstance(begun, ViewContest)
        with torch_numerics(1):
            plain, both = begun.rows_of(()), begun.rows_of(("blur", "flip"))
        assert (plain.judged_labels == both.judged_labels).all()
        assert len(both.labels) == 3 * len(plain.labels) <= most
        for fold in range(len(both.folds)):
            one, other = both.folds[fold], plain.folds[fold]
            assert (both.contents[one.start : one.judged] == plain.contents[other.start : other.judged]).all()
            fitted = PickedRows.fitted(both, fold)
            assert not np.isin(fitted.contents, both.contents[one.start : one.stop]).any()


def test_a_choice_of_views_goes_on_from_any_state() -> None:
    rows = table(images=40, views=3)
    unbroken = list(states(selecting(rows, turn=1e5, options=AUTOMATIC, views=VIEWS)))
    for place in (3, len(unbroken) // 2, len(unbroken) - 2):
        resumed = selecting(rows, turn=1e5, options=AUTOMATIC, views=VIEWS)
        step, following = next(iter(states(resumed, reread(unbroken[place][1]))))
        assert same_bits(following, unbroken[place + 1][1])
        assert (step.iteration, step.item_count) == (place + 2, unbroken[place + 1][0].item_count)
    last = chosen_of(reread(unbroken[-1][1]))
    assert last is not None
    assert last.views is not None
    assert last.comparisons
    assert unbroken[-1][0].item_count == last.views.fits + 5


def test_of_too_few_images_no_views_are_chosen() -> None:
    found = chosen(selecting(table(images=24, views=3), views=VIEWS))
    assert (found.kind, found.options, found.views) == ("default", OPTIONS, ViewsChoice())
