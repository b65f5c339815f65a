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
from mlsession.heads.perceptron.fit import PerceptronFit, default_batch_size, head_of
from mlsession.heads.perceptron.stopping import HELD_OUT_PATIENCE, PATIENCE
from mlsession.heads.protocol import TrainingRows
from mlsession.heads.temperature import fit_temperature
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
    found = fit(RowsInMemory(values, labels), 4, replace(SMALL, early_stopping=False), 3)
    assert len(found.losses) == len(found.accuracies) == found.iteration == 3
    probabilities = found.head().probabilities(values)
    assert found.accuracies[-1] == accuracy(found, values, labels)
    assert found.losses[-1] == pytest.approx(-np.log(probabilities[np.arange(5000), labels]).mean(), rel=1e-5)
    assert found.losses[-1] < found.losses[0]
    assert found.state.steps == 3 * 250
    assert (found.state.temperature, found.state.best_iteration) == (1.0, 3)


def few_and_noisy() -> tuple[RowsInMemory, Array, Array]:
    """300 rows that a perceptron soon fits too well, a third of the labels are drawn; then 300 more like them."""
    values, labels = clusters(600, 20, 3)
    generator = keyed_generator(0, "noise")
    wrong = generator.random(600) < 0.35
    labels[wrong] = generator.integers(0, 3, int(wrong.sum()))
    return RowsInMemory(values[:300], labels[:300]), values, labels


EAGER = MultilayerPerceptron(layer_sizes=(32,), learning_rate=0.01, batch_size=16)


def log_loss(found: PerceptronFit, values: Array, labels: Array) -> float:
    probabilities = found.head().probabilities(values)
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_the_head_is_that_of_the_best_epoch_with_its_temperature() -> None:
    rows, values, labels = few_and_noisy()
    found, best = PerceptronFit.begin(rows, names(3), EAGER, 0), {}
    held_out = found.state.held_out
    assert len(held_out) == 30
    while not found.converged and found.iteration < 40:
        found = found.advance(rows)
        plain = head_of(found.state, found.state.weights)
        best[found.iteration] = (plain, fit_temperature(plain.logits(values[held_out]), labels[held_out]))
        losses = found.state.held_out_losses
        epoch = int(losses.argmin()) + 1
        expected, temperature = best[epoch]
        assert found.state.best_iteration == epoch
        assert found.state.temperature == pytest.approx(temperature, rel=1e-5)
        given, wanted = found.head().tensors(), expected.tempered(found.state.temperature).tensors()
        assert all(given[name].tobytes() == wanted[name].tobytes() for name in wanted)
        probabilities = plain.probabilities(values[held_out])
        loss = -np.log(probabilities[np.arange(30), labels[held_out]]).mean()
        assert losses[-1] == pytest.approx(loss, rel=1e-5)
    assert found.converged
    assert epoch + HELD_OUT_PATIENCE <= found.iteration < 40
    assert not np.array_equal(found.state.weights, found.state.best_weights)
    # It was worth it: without, it is soon too sure of what it has not seen.
    without = fit(rows, 3, replace(EAGER, early_stopping=False), 20)
    assert log_loss(found, values[300:], labels[300:]) < log_loss(without, values[300:], labels[300:]) - 0.1


def test_what_is_held_out_is_not_fitted_to() -> None:
    rows, values, labels = few_and_noisy()
    begun = PerceptronFit.begin(rows, names(3), EAGER, 0)
    held_out = begun.state.held_out
    values, labels = values[:300], labels[:300]
    relabelled = labels.copy()
    relabelled[held_out] = (labels[held_out] + 1) % 3
    first, other = begun.advance(rows), begun.advance(RowsInMemory(values, relabelled))
    assert other.state.weights.tobytes() == first.state.weights.tobytes()
    assert other.losses.tobytes() == first.losses.tobytes()
    assert other.state.held_out_losses[0] != first.state.held_out_losses[0]


def test_early_stopping_goes_on_from_the_newest_weights() -> None:
    """Restored after every epoch, and with a raised limit, it gives what it gives unbroken: also past the best."""
    rows, _, _ = few_and_noisy()
    unbroken = fit(rows, 3, EAGER, 40)
    broken = begin_fit(rows, names(3), EAGER, 0)
    while not broken.converged:
        broken = restore_fit(stored(broken.to_phase_state()), EAGER, 0).advance(rows)
    assert same_bits(broken.to_phase_state(), unbroken.to_phase_state())


def test_class_weights_stand_for_copies() -> None:
    """A class of weight 3 pulls as much as three copies of its rows; one weight for all classes changes nothing."""
    values, labels = clusters(150, 6, 3)
    alone = replace(SMALL, early_stopping=False, dropout=0.0, batch_size=1000, learning_rate=0.01)
    tripled = np.r_[np.arange(150), np.flatnonzero(labels == 2), np.flatnonzero(labels == 2)]
    weighted = fit(RowsInMemory(values, labels), 3, replace(alone, class_weight={"class 2": 3.0}), 8)
    copied = PerceptronFit.begin(RowsInMemory(values[tripled], labels[tripled]), names(3), alone, 0)
    # The standardisation follows from the rows: here it must be the same.
    state = replace(copied.state, mean=weighted.state.mean, scale=weighted.state.scale)
    copied = replace(copied, state=state)
    for _ in range(8):
        copied = copied.advance(RowsInMemory(values[tripled], labels[tripled]))
    np.testing.assert_allclose(weighted.losses, copied.losses, rtol=1e-4)
    same = fit(RowsInMemory(values, labels), 3, replace(alone, class_weight=dict.fromkeys(names(3), 2.0)), 8)
    np.testing.assert_allclose(same.losses, fit(RowsInMemory(values, labels), 3, alone, 8).losses, rtol=1e-6)


def test_a_weight_of_an_unknown_class_is_refused() -> None:
    rows = RowsInMemory(*clusters(60, 5, 3))
    with pytest.raises(InvalidParameter, match=r"'owl'.*'class 0', 'class 1', 'class 2'"):
        begin_fit(rows, names(3), replace(SMALL, class_weight={"owl": 2.0}), 0)


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
