"""The stored options of a head."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.heads.class_weight import ClassWeight
from mlsession.heads.options import (
    AutomaticClassifier,
    LogisticRegressor,
    MultilayerPerceptron,
    candidates_of,
    classifier_from_json,
    options_from_json,
)
from mlsession.session.phase import Json

perceptrons = st.builds(
    MultilayerPerceptron,
    layer_sizes=st.lists(st.integers(1, 4096), min_size=1, max_size=5).map(tuple),
    learning_rate=st.floats(1e-9, 0.5),
    weight_decay=st.floats(0, 1.9),
    dropout=st.floats(0, 1, exclude_max=True),
    batch_size=st.none() | st.integers(1, 10**6),
    tolerance=st.floats(0, 1e6),
)
regressors = st.builds(
    LogisticRegressor, l2=st.none() | st.floats(0, 1e9), tolerance=st.floats(0, 1e9, exclude_min=True)
)


@settings(max_examples=100, deadline=None)
@given(options=perceptrons | regressors)
def test_stored_form_goes_round(options: LogisticRegressor | MultilayerPerceptron) -> None:
    assert options_from_json(json.loads(json.dumps(options.to_json()))) == options


def test_a_whole_number_is_stored_as_the_float_that_it_means() -> None:
    one, other = MultilayerPerceptron(tolerance=1, dropout=0), MultilayerPerceptron(tolerance=1.0, dropout=0.0)
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


@pytest.mark.parametrize("l2", [-1.0, math.nan, math.inf])
def test_refuses_a_penalty(l2: float) -> None:
    with pytest.raises(InvalidParameter, match="l2"):
        LogisticRegressor(l2=l2)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_tolerance(tolerance: float) -> None:
    with pytest.raises(InvalidParameter, match="tolerance"):
        LogisticRegressor(tolerance=tolerance)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "another", "l2": None, "tolerance": 1e-5},
        {"kind": "logistic_regressor", "l2": "1", "tolerance": 1e-5},
        {"kind": "logistic_regressor", "l2": None, "tolerance": True},
    ],
)
def test_refuses_another_stored_form(data: dict[str, Json]) -> None:
    with pytest.raises(InvalidParameter):
        LogisticRegressor.from_json(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_sizes", ()),
        ("layer_sizes", [100]),
        ("layer_sizes", (100, 0)),
        ("layer_sizes", (100.0,)),
        ("layer_sizes", (True,)),
        ("layer_sizes", 100),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", 1.1),
        ("learning_rate", "fast"),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
        ("weight_decay", 1000.0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", True),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("tolerance", -1e-9),
        ("tolerance", math.inf),
    ],
)
def test_refuses_a_perceptron(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=name):
        MultilayerPerceptron(**{name: value})  # type: ignore[arg-type]
    stored = {**MultilayerPerceptron().to_json(), name: value}
    if not isinstance(value, list | tuple):
        with pytest.raises(InvalidParameter, match=name):
            MultilayerPerceptron.from_json(stored)  # type: ignore[arg-type]


def test_refuses_another_kind() -> None:
    with pytest.raises(InvalidParameter, match="forest"):
        options_from_json({"kind": "forest"})
    with pytest.raises(InvalidParameter, match="multilayer_perceptron"):
        MultilayerPerceptron.from_json(LogisticRegressor().to_json())


@settings(max_examples=30, deadline=None)
@given(perceptron=perceptrons, class_weight=st.sampled_from([None, "balanced", {"cat": 2.0}]))
def test_an_automatic_choice_goes_round_and_passes_its_class_weight_on(
    perceptron: MultilayerPerceptron, class_weight: ClassWeight
) -> None:
    options = AutomaticClassifier(class_weight=class_weight, perceptron=perceptron)
    assert classifier_from_json(json.loads(json.dumps(options.to_json()))) == options
    first, second = candidates_of(options)
    assert first == LogisticRegressor(class_weight=class_weight)
    assert second == replace(perceptron, class_weight=class_weight)


def test_an_automatic_choice_has_one_class_weight() -> None:
    with pytest.raises(InvalidParameter, match=r"perceptron\.class_weight"):
        AutomaticClassifier(perceptron=MultilayerPerceptron(class_weight="balanced"))
    with pytest.raises(InvalidParameter, match="perceptron"):
        AutomaticClassifier.from_json({"kind": "automatic", "class_weight": None})
