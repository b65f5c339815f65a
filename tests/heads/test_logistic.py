"""The fit: scikit-learn's optimum, the same bits however it is fed, interrupted and restored, and clear refusals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mlsession.errors import UnusableData
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.blocks import Rows
from mlsession.heads.chosen import Start
from mlsession.heads.class_weight import ClassWeight, class_weights
from mlsession.heads.logistic.fit import head_of, initial_state, iterate, start_of
from mlsession.heads.logistic.objective import Objective, Streamed, block_rows_for
from mlsession.heads.moments import measure
from mlsession.heads.options import DEFAULT_STRENGTH, LogisticRegressor
from mlsession.heads.state import LogisticState
from mlsession.session.phase import Array
from tests.heads.rows import clusters, names, rows_of, same_bits, stored


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As a training has it; torch's own threads wait for each other after each of thousands of small operations."""
    with torch_numerics(1):
        yield


def fit(rows: Rows, classes: int, options: LogisticRegressor, limit: int) -> LogisticState:
    state = initial_state(rows, names(classes), options)
    while not state.converged and state.iteration < limit:
        state = iterate(state, rows, options)
    return state


def objective(
    weight: Array, bias: Array, features: Array, labels: Array, l2: float, of_classes: Array | None = None
) -> float:
    """The documented objective in float64, written independently."""
    logits = features.astype(np.float64) @ weight.astype(np.float64).T + bias.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    weights = np.ones(len(labels)) if of_classes is None else of_classes[labels]
    return float((weights * losses).sum() / weights.sum() + l2 / 2 * np.square(weight.astype(np.float64)).sum())


@pytest.mark.parametrize(("count", "features", "classes"), [(60, 5, 3), (300, 24, 6), (60, 90, 3), (5000, 16, 3)])
@pytest.mark.parametrize("c", [0.1, 10.0])
def test_reaches_the_optimum_of_scikit_learn(count: int, features: int, classes: int, c: float) -> None:
    values, labels = clusters(count, features, classes)
    l2 = 1 / (c * count)
    state = fit(rows_of(values, labels), classes, LogisticRegressor(l2=l2, tolerance=1e-6), 1000)
    assert state.converged
    head = head_of(state)
    oracle = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-9).fit(values.astype(np.float64), labels)
    best = objective(oracle.coef_, oracle.intercept_, values, labels, l2)
    assert objective(head.weight, head.bias, values, labels, l2) == pytest.approx(best, rel=1e-4)
    assert state.loss == pytest.approx(best, rel=1e-4)
    # All biases may move together without any effect, and scikit-learn may leave them elsewhere.
    np.testing.assert_allclose(head.weight, oracle.coef_, atol=5e-3 * np.abs(oracle.coef_).max())
    np.testing.assert_allclose(head.probabilities(values), oracle.predict_proba(values.astype(np.float64)), atol=2e-3)


def shape(name: str) -> tuple[Array, Array, int]:
    """Features float32, labels and the number of classes, of a shape that a solver may stumble over."""
    count, features, classes = {"more features": (40, 60, 3), "many classes": (400, 12, 25)}.get(name, (400, 20, 3))
    values, labels = clusters(count, features, classes)
    if name == "unbalanced":
        kept = (labels > 0) | (np.arange(count) % 12 == 0)
        values, labels = values[kept], labels[kept]
    if name == "far from 0":
        values = (values / np.float32(50) + np.float32(100)).astype(np.float32)
    if name == "small":
        values = values * np.float32(1e-4)
    return values, labels, classes


@pytest.mark.parametrize(
    "weight", [None, "balanced", {"class 0": 5.0, "class 2": 0.5}], ids=["alike", "balanced", "own"]
)
@pytest.mark.parametrize("name", ["plain", "more features", "many classes", "unbalanced", "far from 0", "small"])
def test_reaches_the_optimum_of_scikit_learn_with_class_weights(name: str, weight: ClassWeight) -> None:
    """On six shapes of data: an objective within 1e-4 of scikit-learn's, and probabilities within 0.01."""
    values, labels, classes = shape(name)
    exact = values.astype(np.float64)
    counts = np.bincount(labels, minlength=classes)
    of_classes = class_weights(counts, names(classes), weight)
    l2 = float(exact.var(axis=0).mean()) / len(labels)
    options = LogisticRegressor(l2=l2, tolerance=1e-6, class_weight=weight)
    state = fit(rows_of(values, labels), classes, options, 3000)
    by_label = "balanced" if weight == "balanced" else dict(enumerate(of_classes.tolist()))
    oracle = LogisticRegression(
        C=1 / (l2 * of_classes[labels].sum()), solver="newton-cholesky", tol=1e-9, class_weight=by_label, max_iter=500
    ).fit(exact, labels)
    head = head_of(state)
    best = objective(oracle.coef_, oracle.intercept_, values, labels, l2, of_classes)
    assert state.loss == pytest.approx(best, rel=1e-4)
    assert objective(head.weight, head.bias, values, labels, l2, of_classes) == pytest.approx(best, rel=2e-3)
    np.testing.assert_allclose(head.probabilities(values), oracle.predict_proba(exact), atol=0.01)


def test_a_fit_that_begins_at_its_end_is_done_at_once_and_one_that_begins_near_it_sooner() -> None:
    values, labels = clusters(400, 20, 4)
    options = LogisticRegressor(tolerance=1e-5)
    cold = fit(rows_of(values, labels), 4, options, 1000)
    rows, end = rows_of(values, labels), start_of(cold)
    again = initial_state(rows, names(4), options, end)
    assert again.loss == pytest.approx(cold.loss, rel=1e-7)
    assert np.abs(again.gradient).max() < 2e-5
    near = initial_state(rows, names(4), options, Start(weights=end.weights * 0.95, bias=end.bias))
    while not near.converged:
        near = iterate(near, rows, options)
    assert near.iteration < cold.iteration
    assert near.loss == pytest.approx(cold.loss, rel=1e-6)


def test_class_weights_are_part_of_the_state() -> None:
    values, labels = clusters(300, 8, 3)
    options = LogisticRegressor(class_weight={"class 1": 9.0})
    rows = rows_of(values, labels)
    state = initial_state(rows, names(3), options)
    again = LogisticState.from_phase_state(stored(state.to_phase_state()))
    assert again.class_weights.tolist() == [1.0, 9.0, 1.0]
    # What was stored counts, and not what options may say by now.
    assert same_bits(
        iterate(again, rows, LogisticRegressor()).to_phase_state(), iterate(state, rows, options).to_phase_state()
    )


@pytest.mark.parametrize(("classes", "expected"), [(2, 1024), (4096, 1024), (8192, 512), (10**6, 64)])
def test_blocks_get_shorter_where_there_are_many_classes(classes: int, expected: int) -> None:
    assert block_rows_for(classes) == expected


def test_two_classes() -> None:
    """scikit-learn has one vector for two classes; ours are plus and minus half of it, so its penalty counts half."""
    values, labels = clusters(200, 12, 2)
    l2 = 0.02
    state = fit(rows_of(values, labels), 2, LogisticRegressor(l2=l2, tolerance=1e-7), 1000)
    oracle = LogisticRegression(C=2 / (200 * l2), solver="newton-cholesky", tol=1e-9).fit(
        values.astype(np.float64), labels
    )
    np.testing.assert_allclose(
        head_of(state).probabilities(values), oracle.predict_proba(values.astype(np.float64)), atol=2e-3
    )


def test_gradient_is_that_of_autograd() -> None:
    values, labels = clusters(50, 6, 4)
    point = torch.from_numpy(np.random.Generator(np.random.Philox(key=3)).normal(size=4 * 6 + 4) / 4)
    mean, scale = torch.linspace(-1, 1, 6, dtype=torch.float64), torch.linspace(0.5, 2, 6, dtype=torch.float64)
    mean, scale = mean.float().double(), scale.float().double()
    found = Objective(passes=Streamed(rows_of(values, labels)), classes=4, mean=mean, scale=scale, l2=0.3)(point)
    variable = point.clone().requires_grad_()
    weights, bias = variable[:24].view(4, 6), variable[24:]
    logits = (torch.from_numpy(values).double() - mean) / scale @ weights.T + bias
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss = loss + 0.3 / 2 * (weights / scale).square().sum()
    (gradient,) = torch.autograd.grad(loss, variable)
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert found.accuracy == (logits.argmax(1).numpy() == labels).mean()


def test_moments_are_those_of_numpy() -> None:
    values, labels = clusters(10_000, 9, 3)
    moments = measure(rows_of(values, labels, 777), names(3))
    assert moments.rows == 10_000
    np.testing.assert_allclose(moments.mean.numpy(), values.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance.numpy(), values.astype(np.float64).var(axis=0), rtol=1e-9, atol=1e-20)


def test_interrupted_and_restored_anywhere_gives_the_same_bits() -> None:
    values, labels = clusters(5000, 24, 5)
    rows, options = rows_of(values, labels), LogisticRegressor(tolerance=1e-9)
    unbroken = fit(rows, 5, options, 20)
    assert unbroken.iteration == 20
    state = initial_state(rows, names(5), options)
    for _ in range(20):
        state = iterate(LogisticState.from_phase_state(stored(state.to_phase_state())), rows, options)
    assert same_bits(state.to_phase_state(), unbroken.to_phase_state())
    assert head_of(state).weight.tobytes() == head_of(unbroken).weight.tobytes()
    assert head_of(state).bias.tobytes() == head_of(unbroken).bias.tobytes()


@pytest.mark.parametrize("batch", [1, 1000, 4096, 4097])
def test_batches_and_memory_layout_do_not_change_a_bit(batch: int) -> None:
    values, labels = clusters(9000 if batch > 1 else 300, 17, 3)
    options = LogisticRegressor()
    whole = fit(rows_of(values, labels), 3, options, 5)
    # Every other column of a wider array: another layout, the same rows.
    strided = np.repeat(values, 2, axis=1)[:, ::2]
    parts = fit(rows_of(strided, labels, batch), 3, options, 5)
    assert same_bits(parts.to_phase_state(), whole.to_phase_state())


def test_history_counts_and_descends() -> None:
    values, labels = clusters(400, 20, 4)
    state = fit(rows_of(values, labels), 4, LogisticRegressor(tolerance=1e-9), 15)
    assert len(state.losses) == len(state.accuracies) == state.iteration == 15
    assert state.losses[-1] == state.loss
    assert state.accuracies[-1] == state.accuracy == (head_of(state).logits(values).argmax(axis=1) == labels).mean()
    assert (np.diff([np.log(4), *state.losses]) < 0).all()
    assert 15 < state.evaluations <= 25


def test_the_default_penalty_does_not_depend_on_the_unit_of_the_features() -> None:
    values, labels = clusters(300, 20, 4)
    state = fit(rows_of(values, labels), 4, LogisticRegressor(), 200)
    scaled = fit(rows_of(values * np.float32(1024), labels), 4, LogisticRegressor(), 200)
    assert state.l2 == pytest.approx(DEFAULT_STRENGTH * values.astype(np.float64).var(axis=0).mean() / 300)
    np.testing.assert_allclose(
        head_of(scaled).probabilities(values * np.float32(1024)), head_of(state).probabilities(values), atol=1e-3
    )


def test_a_converged_state_stays() -> None:
    values, labels = clusters(60, 4, 3)
    # Rounding cannot end the fit before a tolerance so far above it does.
    rows, options = rows_of(values, labels), LogisticRegressor(tolerance=1e-4)
    state = fit(rows, 3, options, 500)
    assert state.converged
    assert np.abs(state.gradient).max() <= options.tolerance
    assert iterate(state, rows, options) is state


@pytest.mark.parametrize("writeable", [True, False], ids=["writeable", "read-only"])
def test_half_precision_rows_give_the_bits_of_the_same_rows_widened(writeable: bool) -> None:
    values, labels = clusters(5000, 12, 3)
    halves = values.astype(np.float16)
    widened = fit(rows_of(halves.astype(np.float32), labels), 3, LogisticRegressor(), 5)
    halves.setflags(write=writeable)
    assert same_bits(
        fit(rows_of(halves, labels, 700), 3, LogisticRegressor(), 5).to_phase_state(), widened.to_phase_state()
    )


def test_features_that_say_nothing_converge_at_the_start() -> None:
    values, labels = np.ones((6, 4), dtype=np.float32), np.array([0, 1, 2] * 2, dtype=np.int64)
    state = fit(rows_of(values, labels), 3, LogisticRegressor(), 10)
    assert (state.converged, state.iteration) == (True, 1)
    assert state.loss == pytest.approx(np.log(3))
    np.testing.assert_allclose(head_of(state).probabilities(values), 1 / 3)


def test_rounding_ends_the_fit_where_the_tolerance_cannot() -> None:
    values, labels = clusters(60, 4, 3)
    state = fit(rows_of(values, labels), 3, LogisticRegressor(l2=0.1, tolerance=1e-300), 2000)
    assert state.converged
    assert state.iteration < 2000
    assert np.abs(state.gradient).max() < 1e-4


def test_without_a_penalty_separable_rows_descend_on() -> None:
    values, labels = clusters(20, 60, 3)
    state = fit(rows_of(values, labels), 3, LogisticRegressor(l2=0.0), 50)
    assert state.accuracy == 1
    assert np.isfinite(head_of(state).weight).all()


def test_refuses_a_class_without_rows() -> None:
    values, labels = clusters(30, 4, 2)
    with pytest.raises(UnusableData, match="owl"):
        initial_state(rows_of(values, labels), ["cat", "dog", "owl"], LogisticRegressor())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_features_that_are_no_numbers(value: float) -> None:
    values, labels = clusters(30, 4, 2)
    values[7, 2] = value
    with pytest.raises(UnusableData, match="not a number"):
        initial_state(rows_of(values, labels), names(2), LogisticRegressor())
