"""The training phase, without a session: both kinds of head, views, exact resume, every state a usable head."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.chosen import Chosen
from mlsession.heads.options import HeadOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.phases.features import FeatureTable
from mlsession.phases.train import TableRows, Training
from mlsession.phases.trained import is_fitted, trained_head
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import decode_state, encode_state
from mlsession.session.phase import PhaseState, Step
from tests.heads.rows import clusters, same_bits

CLASSES = ("cat", "dog", "owl")
LOGISTIC = LogisticRegressor(l2=1e-6, tolerance=1e-12)
PERCEPTRON = MultilayerPerceptron(layer_sizes=(10,), batch_size=16)
BOTH = pytest.mark.parametrize("options", [LOGISTIC, PERCEPTRON], ids=lambda options: type(options).__name__)


def table(images: int = 60, views: int = 3) -> FeatureTable:
    """Images with views; one cannot be read, every seventh is held out."""
    features, labels = clusters(images, 8, len(CLASSES))
    image = np.repeat(np.arange(images), views)
    original = np.tile(np.arange(views) == 0, images)
    noise = clusters(images * views, 8, len(CLASSES), seed=5)[0] * np.float32(0.1)
    readable, held_out = image != 17, image % 7 == 0
    return FeatureTable(
        features=to_half(np.where(original[:, None], features[image], features[image] + noise)),
        labels=labels[image],
        image=image,
        digests=keyed_generator(0, "digests").integers(0, 256, (images, 32), dtype=np.uint8),
        original=original,
        training=readable & ~held_out,
        validation=readable & held_out & original,
    )


def training(options: HeadOptions, rows: FeatureTable, limit: int, seed: int = 0) -> Training:
    return Training(lambda: rows, CLASSES, options, seed, limit, lambda: torch_numerics(1))


def states(runner: Training, state: PhaseState | None = None) -> Iterator[tuple[Step, PhaseState]]:
    for step in runner.run(state):
        yield step, step.snapshot()


def reread(state: PhaseState) -> PhaseState:
    """Through the codec of a store."""
    return decode_state(encode_state(state), "state")


@BOTH
def test_every_state_is_a_head_as_good_as_recorded(options: HeadOptions) -> None:
    rows = table()
    seen = 0
    for step, state in states(training(options, rows, 8)):
        seen += 1
        assert step.iteration == seen
        assert state.data["head"] == options.to_json()["kind"]
        head = trained_head(reread(state))
        for part, prefix in ((rows.training, ""), (rows.validation, "validation_")):
            probabilities = head.probabilities(rows.features[part].astype(np.float32))
            assert np.isfinite(probabilities).all()
            accuracy = (probabilities.argmax(axis=1) == rows.labels[part]).mean()
            assert step.metrics[f"{prefix}accuracy"] == pytest.approx(accuracy, rel=1e-12)
            if prefix:
                loss = -np.log(probabilities[np.arange(len(probabilities)), rows.labels[part]]).mean()
                assert step.metrics["validation_loss"] == pytest.approx(loss, rel=1e-5)
            assert state.arrays[f"history.{prefix}accuracy"][-1] == step.metrics[f"{prefix}accuracy"]
            assert state.arrays[f"history.{prefix}loss"][-1] == step.metrics[f"{prefix}loss"]
            assert state.arrays[f"history.{prefix}loss"].shape == (seen,)
        assert step.last == (seen == 8)
    assert seen == 8


@BOTH
def test_a_run_from_any_state_gives_the_states_of_the_unbroken_run(options: HeadOptions) -> None:
    rows = table()
    unbroken = [state for _, state in states(training(options, rows, 12))]
    for place, state in enumerate(unbroken[:-1]):
        _, following = next(iter(states(training(options, rows, 12), reread(state))))
        assert same_bits(following, unbroken[place + 1])


def test_what_was_chosen_counts_after_a_kill_as_well() -> None:
    """A choice says more than the options that were asked for: how near the optimum the fit ends, above all."""
    rows = table()
    chosen = Chosen(options=replace(LOGISTIC, l2=1e-3, tolerance=1e-3), kind="cross-validation", temperature=0.5)

    def chosen_training() -> Training:
        asked = LogisticRegressor(l2=None, tolerance=1e-12)
        return Training(lambda: rows, CLASSES, asked, 0, 50, lambda: torch_numerics(1), lambda: chosen)

    unbroken = [state for _, state in states(chosen_training())]
    assert 3 < len(unbroken) < 50
    for place, state in enumerate(unbroken[:-1]):
        following = [state for _, state in states(chosen_training(), reread(state))]
        assert len(following) == len(unbroken) - place - 1
        assert same_bits(following[-1], unbroken[-1])


@BOTH
def test_ten_and_ten_are_twenty(options: HeadOptions) -> None:
    rows = table()
    *_, (last, ten) = states(training(options, rows, 10))
    assert last.last
    assert is_fitted(ten, 10)
    assert not is_fitted(ten, 20)
    *_, (_, extended) = states(training(options, rows, 20), reread(ten))
    *_, (_, twenty) = states(training(options, rows, 20))
    assert extended.data["iteration"] == 20
    assert same_bits(extended, twenty)


@BOTH
def test_a_lowered_limit_ends_with_what_there_is(options: HeadOptions) -> None:
    rows = table()
    step, state = list(islice(states(training(options, rows, 10)), 5))[-1]
    ((only, after),) = states(training(options, rows, 3), reread(state))
    assert (only.last, only.iteration) == (True, 5)
    assert only.metrics == step.metrics
    assert same_bits(after, state)


@BOTH
def test_held_out_views_are_not_trained_on(options: HeadOptions) -> None:
    """The views of validation images, and rows of unreadable images, may hold anything."""
    rows = table()
    features = rows.features.copy()
    features[~rows.training & ~rows.validation] = np.nan
    assert (~rows.training & ~rows.validation).sum() == 9 * 2 + 3
    *_, (_, clean) = states(training(options, rows, 3))
    *_, (_, spoilt) = states(training(options, replace(rows, features=features), 3))
    assert same_bits(clean, spoilt)


@BOTH
def test_features_in_a_file_give_the_same_bits(options: HeadOptions) -> None:
    rows = table()
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype=np.float16, mode="w+", shape=rows.features.shape)
        mapped[:] = rows.features
        *_, (_, found) = states(training(options, replace(rows, features=mapped), 3))
    *_, (_, expected) = states(training(options, rows, 3))
    assert same_bits(found, expected)


@BOTH
def test_without_validation_there_is_no_history_of_it(options: HeadOptions) -> None:
    rows = table()
    rows = replace(rows, validation=np.zeros_like(rows.validation))
    step, state = next(iter(states(training(options, rows, 2))))
    assert sorted(step.metrics) == ["accuracy", "loss"]
    assert {name for name in state.arrays if name.startswith("history.")} == {"history.loss", "history.accuracy"}
    ((_, again),) = states(training(options, rows, 2), reread(state))
    assert {name for name in again.arrays if name.startswith("history.")} == {"history.loss", "history.accuracy"}


def test_only_the_perceptron_depends_on_the_seed() -> None:
    rows = table()
    for options, alike in ((LOGISTIC, True), (PERCEPTRON, False)):
        first, second = (next(iter(states(training(options, rows, 1, seed))))[1] for seed in (0, 1))
        assert same_bits(first, second) == alike


def test_rows_of_a_table() -> None:
    given = table()
    rows = TableRows(given)
    assert len(rows) == given.training.sum()
    passed = [np.concatenate([block[name] for block in rows()]) for name in ("features", "labels")]
    places = np.array([5, 0, len(rows) - 1, 5])
    taken = rows.take(places)
    np.testing.assert_array_equal(taken["features"], passed[0][places])
    np.testing.assert_array_equal(taken["labels"], passed[1][places])
    assert rows.take(places[:0])["features"].shape == (0, 8)
    assert not np.shares_memory(taken["features"], given.features)
