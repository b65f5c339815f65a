"""The stored options of a head."""

from __future__ import annotations

import json
import math

import pytest

from mlsession.errors import InvalidParameter
from mlsession.heads.options import LogisticRegressor
from mlsession.session.phase import Json


@pytest.mark.parametrize("options", [LogisticRegressor(), LogisticRegressor(l2=0.0, tolerance=1e-3)])
def test_stored_form_goes_round(options: LogisticRegressor) -> None:
    assert LogisticRegressor.from_json(json.loads(json.dumps(options.to_json()))) == options


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
