"""The perceptron's fit: as good as scikit-learn's, the same bits however it is fed and restored, clear refusals."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from mlsession.errors import InternalError, InvalidParameter, UnusableData
from mlsession.heads.fitting import begin_fit, restore_fit
from mlsession.heads.options import MultilayerPerceptron
from mlsession.heads.perceptron_fit import PATIENCE, PerceptronFit, default_batch_size, has_converged
from mlsession.heads.protocol import TrainingRows
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from tests.heads.rows import RowsInMemory, clusters, names, same_bits, stored

SMALL = MultilayerPerceptron(layer_sizes=(12, 6), batch_size=20)


def fit(rows: TrainingRows, classes: int, options: MultilayerPerceptron, limit: int, seed: int = 0) -> PerceptronFit:
    found = PerceptronFit.begin(rows, names(classes), options, seed)
    while not found.converged and found.iteration < limit:
        found = found.advance(rows)
    return found


def rings(count: int, seed: int) -> tuple[Array, Array]:
    """Three classes by distance from the middle, in 4 dimensions: no linear head can tell them apart."""
    values = keyed_generator(seed, "rings").normal(size=(count, 4))
    distance = np.linalg.norm(values, axis=1)
    return values.astype(np.float32), np.digitize(distance, [1.5, 2.2]).astype(np.int64)


def accuracy(found: PerceptronFit, values: Array, labels: Array) -> float:
    return float((found.head().logits(values).argmax(axis=1) == labels).mean())


def test_is_as_good_as_that_of_scikit_learn() -> None:
    (values, labels), (unseen, truth) = rings(1500, 0), rings(1500, 1)
    options = MultilayerPerceptron(layer_sizes=(32,), learning_rate=5e-3, dropout=0.0)
    ours = accuracy(fit(RowsInMemory(values, labels), 3, options, 40), unseen, truth)
    scaler = StandardScaler().fit(values)
    oracle = MLPClassifier((32,), learning_rate_init=5e-3, batch_size=32, max_iter=40, alpha=0.0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle.fit(scaler.transform(values), labels)
    theirs = oracle.score(scaler.transform(unseen), truth)
    assert theirs > 0.9
    assert ours > theirs - 0.03


def test_restored_after_every_epoch_gives_the_same_bits() -> None:
    values, labels = clusters(330, 10, 4)
    rows = RowsInMemory(values, labels)
    unbroken = fit(rows, 4, SMALL, 20)
    broken = begin_fit(rows, names(4), SMALL, 0)
    for _ in range(20):
        broken = restore_fit(stored(broken.to_phase_state()), SMALL, 0).advance(rows)
    assert same_bits(broken.to_phase_state(), unbroken.to_phase_state())
    ours, theirs = broken.head().tensors(), unbroken.head().tensors()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)


@pytest.mark.parametrize("batch", [1, 100, 4096])
def test_how_the_rows_come_does_not_change_a_bit(batch: int) -> None:
    values, labels = clusters(5000 if batch > 1 else 300, 7, 3)
    whole = fit(RowsInMemory(values, labels), 3, MultilayerPerceptron(layer_sizes=(8,)), 3)
    strided = np.repeat(values, 2, axis=1)[:, ::2]
    parts = fit(RowsInMemory(strided, labels, batch), 3, MultilayerPerceptron(layer_sizes=(8,)), 3)
    assert same_bits(parts.to_phase_state(), whole.to_phase_state())


def test_a_fit_is_a_value() -> None:
    rows = RowsInMemory(*clusters(60, 5, 3))
    first = fit(rows, 3, SMALL, 2)
    before = first.to_phase_state()
    assert first.advance(rows).iteration == 3
    assert same_bits(first.to_phase_state(), before)


def test_the_seed_decides() -> None:
    rows = RowsInMemory(*clusters(60, 5, 3))
    one, other, again = (fit(rows, 3, SMALL, 2, seed) for seed in (0, 1, 0))
    assert same_bits(one.to_phase_state(), again.to_phase_state())
    assert not same_bits(one.to_phase_state(), other.to_phase_state())


def test_history_is_that_of_the_head() -> None:
    values, labels = clusters(5000, 10, 4)
    found = fit(RowsInMemory(values, labels), 4, SMALL, 3)
    assert len(found.losses) == len(found.accuracies) == found.iteration == 3
    probabilities = found.head().probabilities(values)
    assert found.accuracies[-1] == accuracy(found, values, labels)
    assert found.losses[-1] == pytest.approx(-np.log(probabilities[np.arange(5000), labels]).mean(), rel=1e-5)
    assert found.losses[-1] < found.losses[0]
    assert found.state.steps == 3 * 250


def test_standardisation_is_folded_into_the_head() -> None:
    """Features on another scale, with an offset, are the same to the fit."""
    values, labels = clusters(200, 10, 3)
    moved = values * np.float32(1024) + np.float32(4096)
    one, other = fit(RowsInMemory(values, labels), 3, SMALL, 5), fit(RowsInMemory(moved, labels), 3, SMALL, 5)
    np.testing.assert_allclose(other.head().probabilities(moved), one.head().probabilities(values), atol=0.01)
    assert one.losses[-1] < one.losses[0]


def test_weight_decay_keeps_weights_small() -> None:
    rows = RowsInMemory(*clusters(200, 10, 3))
    loose = fit(rows, 3, replace(SMALL, learning_rate=0.01), 20)
    tight = fit(rows, 3, replace(SMALL, learning_rate=0.01, weight_decay=5.0), 20)
    assert np.square(tight.state.weights).sum() < np.square(loose.state.weights).sum() / 2


def test_convergence_is_a_rule_on_the_losses() -> None:
    falling = np.linspace(1, 0, 30)
    assert not has_converged(falling, 1e-4)
    assert not has_converged(np.ones(PATIENCE), 1e-4)
    assert has_converged(np.ones(PATIENCE + 1), 1e-4)
    assert has_converged(np.r_[0.5, np.ones(PATIENCE)], 0.0)
    assert not has_converged(np.r_[1.0, np.ones(PATIENCE - 1), 0.9998], 1e-4)
    assert has_converged(np.r_[1.0, np.ones(PATIENCE - 1), 0.99995], 1e-4)


def test_a_converged_fit_stays() -> None:
    values, labels = np.ones((6, 4), dtype=np.float32), np.array([0, 1, 2] * 2, dtype=np.int64)
    rows = RowsInMemory(values, labels)
    found = fit(rows, 3, replace(SMALL, tolerance=1.0), 500)
    assert (found.converged, found.iteration) == (True, PATIENCE + 1)
    assert found.advance(rows) is found
    assert np.isfinite(found.head().logits(values)).all()


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 32), (4095, 32), (4096, 64), (16_383, 128), (16_384, 256), (10**7, 256)]
)
def test_the_default_batch_size(rows: int, size: int) -> None:
    assert default_batch_size(rows) == size


def test_refuses_a_learning_rate_that_diverges() -> None:
    rows = RowsInMemory(*clusters(60, 5, 3))
    found = fit(rows, 3, SMALL, 1)
    huge = replace(found.state, weights=np.full_like(found.state.weights, 1e30))
    with pytest.raises(InvalidParameter, match=r"learning_rate=0\.001: .* epoch 2; choose a smaller one"):
        replace(found, state=huge).advance(rows)


def test_refuses_rows_that_cannot_be_fitted() -> None:
    values, labels = clusters(30, 4, 2)
    with pytest.raises(UnusableData, match="owl"):
        begin_fit(RowsInMemory(values, labels), ["cat", "dog", "owl"], SMALL, 0)
    with pytest.raises(InternalError, match="30 rows"):
        begin_fit(RowsInMemory(values, labels), names(2), SMALL, 0).advance(RowsInMemory(values[:20], labels[:20]))
    values[7, 2] = np.nan
    with pytest.raises(UnusableData, match="not a number"):
        begin_fit(RowsInMemory(values, labels), names(2), SMALL, 0)
