"""The temperature: scipy finds the same, no batch or layout changes a bit of it, and few rows do not make it sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mlsession.errors import InvalidParameter
from mlsession.heads.temperature import HIGHEST, LOWEST, PRIOR, fit_temperature
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from tests.classifier.heads import drawn, logistic, perceptron
from tests.heads.rows import misplaced


def rows(seed: int, count: int, classes: int, spread: float, right: float = 0.7) -> tuple[Array, Array]:
    """float32 [n, K] and int64 [n]: the largest logit is that of the label with a chance of `right`, about."""
    generator = keyed_generator(seed, "logits", count, classes)
    logits = (generator.normal(size=(count, classes)) * spread).astype(np.float32)
    drawn_labels = generator.integers(0, classes, count)
    return logits, np.where(generator.random(count) < right, logits.argmax(axis=1), drawn_labels)


def objective(logits: Array, labels: Array, factor: float) -> float:
    scores = factor * (logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].sum() + PRIOR * (factor - np.log(factor)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 400),
    classes=st.integers(2, 12),
    spread=st.floats(0.01, 40),
    right=st.floats(0, 1),
)
def test_is_the_optimum_that_scipy_finds(seed: int, count: int, classes: int, spread: float, right: float) -> None:
    logits, labels = rows(seed, count, classes, spread, right)
    found = fit_temperature(logits, labels)
    oracle = minimize_scalar(
        lambda power: objective(logits, labels, np.exp(power)),
        bounds=(np.log(1 / HIGHEST), np.log(1 / LOWEST)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert LOWEST <= found <= HIGHEST
    assert objective(logits, labels, 1 / found) <= oracle.fun * (1 + 1e-9) + 1e-9
    assert found == pytest.approx(np.exp(-oracle.x), rel=1e-3)


def test_finds_what_logits_were_multiplied_by() -> None:
    logits = keyed_generator(0, "true logits").normal(size=(20_000, 5)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    draws = keyed_generator(1, "labels").random((20_000, 1))
    labels = (chances.cumsum(axis=1) < draws).sum(axis=1)
    for factor in (0.25, 1.0, 4.0):
        assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_how_the_rows_lie_does_not_change_a_bit() -> None:
    logits, labels = rows(3, 5000, 7, 5.0)
    found = fit_temperature(logits, labels)
    for other in (misplaced(logits), np.asfortranarray(logits), np.repeat(logits, 2, axis=1)[:, ::2]):
        assert fit_temperature(other, labels) == found
    assert fit_temperature(logits.astype(np.float64), labels.astype(np.int32)) == found


def test_few_rows_without_an_error_do_not_make_it_sure() -> None:
    """Logits of a gap of 4 are 0.86 sure among ten classes; without a prior T would be the lowest there is."""
    for count, lowest in ((1, 0.95), (20, 0.7), (50, 0.6)):
        logits = np.zeros((count, 10), dtype=np.float32)
        logits[:, 0] = 4.0
        assert lowest < fit_temperature(logits, np.zeros(count, dtype=np.int64)) < 1
        assert fit_temperature(logits, np.ones(count, dtype=np.int64)) > 1


@pytest.mark.parametrize("count", [10, 1_000, 100_000])
@pytest.mark.parametrize("gap", [0.5, 8.0, 500.0])
def test_perfectly_separable_rows_are_sharpened_and_stay_finite(count: int, gap: float) -> None:
    """The more rows without an error, the surer; and what is sure already stays as it is."""
    labels = np.arange(count) % 3
    logits = np.zeros((count, 3), dtype=np.float32)
    logits[np.arange(count), labels] = gap
    found = fit_temperature(logits, labels)
    assert LOWEST <= found <= 1
    if gap == 500.0:
        assert found == pytest.approx(1.0)
    if count == 100_000 and gap < 500:
        assert found < 0.7
    shares = np.exp(logits / found - (logits / found).max(axis=1, keepdims=True))
    assert np.isfinite(shares / shares.sum(axis=1, keepdims=True)).all()


def test_nothing_to_learn_is_one() -> None:
    assert fit_temperature(np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.int64)) == 1.0
    assert fit_temperature(np.full((9, 3), 2.5, dtype=np.float32), np.arange(9) % 3) == 1.0
    wrong = np.zeros((100_000, 2), dtype=np.float32)
    wrong[:, 0] = 30.0
    assert fit_temperature(wrong, np.ones(100_000, dtype=np.int64)) == HIGHEST


def test_refuses() -> None:
    logits, labels = rows(0, 10, 3, 1.0)
    for other, of_labels, reason in (
        (logits[0], labels, "whole labels"),
        (logits, labels[:9], "whole labels"),
        (logits, labels.astype(np.float64), "whole labels"),
        (np.where(logits > 0, np.inf, logits), labels, "finite"),
        (logits, labels + 3, "must be from 0 to 2"),
        (logits, labels - 3, "must be from 0 to 2"),
    ):
        with pytest.raises(InvalidParameter, match=reason):
            fit_temperature(other, of_labels)


@pytest.mark.parametrize("head", [logistic(), perceptron()], ids=lambda head: head.kind)
@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.3, 20.0])
def test_a_tempered_head_has_its_logits_divided(head: object, temperature: float) -> None:
    given_head = perceptron() if head.kind == perceptron().kind else logistic()  # type: ignore[attr-defined]
    features = drawn(50, given_head.num_features)
    tempered = given_head.tempered(temperature)
    assert (tempered.kind, tempered.num_classes) == (given_head.kind, given_head.num_classes)
    np.testing.assert_allclose(
        tempered.logits(features),
        given_head.logits(features) / np.float32(temperature),
        rtol=1e-4,
        atol=0.01 / temperature,
    )
    assert tempered.logits(features).argmax(axis=1).tolist() == given_head.logits(features).argmax(axis=1).tolist()
    names = list(given_head.tensors())
    for name in names[:-2]:
        assert tempered.tensors()[name].tobytes() == given_head.tensors()[name].tobytes()
    for name in names[-2:]:
        exact = (given_head.tensors()[name].astype(np.float64) / temperature).astype(np.float32)
        assert tempered.tensors()[name].tobytes() == exact.tobytes()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_head_refuses_what_is_no_temperature(temperature: float) -> None:
    with pytest.raises(InvalidParameter, match="temperature"):
        logistic().tempered(temperature)
