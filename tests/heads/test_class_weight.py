"""Class weights: as scikit-learn's, checked, and the same after a round through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from mlsession.errors import InvalidParameter
from mlsession.heads.class_weight import (
    checked_class_weight,
    class_weight_from_json,
    class_weight_to_json,
    class_weights,
)

CLASSES = ("cat", "dog", "owl")


@given(st.lists(st.integers(1, 50), min_size=3, max_size=3))
def test_as_those_of_scikit_learn(counts: list[int]) -> None:
    labels = np.repeat(np.arange(3), counts)
    for choice, theirs in (("balanced", "balanced"), (None, None), ({"dog": 2.5}, {0: 1.0, 1: 2.5, 2: 1.0})):
        expected = compute_class_weight(theirs, classes=np.arange(3), y=labels)
        found = class_weights(counts, CLASSES, checked_class_weight(choice))
        np.testing.assert_allclose(found, expected)
        assert found.dtype == np.float64


def test_a_class_without_rows_has_a_weight_like_any() -> None:
    assert class_weights([4, 0, 4], CLASSES, "balanced").tolist() == [8 / 12, 1.0, 8 / 12]


@pytest.mark.parametrize("choice", [None, "balanced", {"cat": 2.0, "owl": 0.25}])
def test_goes_round(choice: object) -> None:
    held = checked_class_weight(choice)
    assert class_weight_from_json(json.loads(json.dumps(class_weight_to_json(held)))) == held == choice


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("even", "must be"),
        (2.0, "must be"),
        ({}, "names no label"),
        ({1: 2.0}, "labels are texts"),
        ({"cat": 0}, r"class_weight\['cat'\]=0: .* above 0"),
        ({"cat": -1.0}, "above 0"),
        ({"cat": float("inf")}, "finite"),
        ({"cat": float("nan")}, "finite"),
        ({"cat": True}, "finite"),
        ({"cat": "2"}, "finite"),
    ],
)
def test_refuses(choice: object, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        checked_class_weight(choice)


def test_a_label_that_no_class_has_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidParameter, match=r"'bat': no class has this label; the classes are 'cat', 'dog', 'owl'"):
        class_weights([1, 1, 1], CLASSES, {"cat": 2.0, "bat": 1.0})


def test_what_the_caller_changes_later_is_not_seen() -> None:
    given_weights = {"cat": 2.0}
    held = checked_class_weight(given_weights)
    given_weights["cat"] = 9.0
    assert held == {"cat": 2.0}
