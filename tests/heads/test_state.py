"""The saved form of a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlsession.errors import InternalError
from mlsession.heads.logistic.fit import initial_state, iterate
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.state import LogisticState
from mlsession.session.phase import PhaseState
from tests.heads.rows import clusters, names, rows_of


@pytest.fixture
def state() -> LogisticState:
    rows, options = rows_of(*clusters(50, 6, 3)), LogisticRegressor()
    return iterate(iterate(initial_state(rows, names(3), options), rows, options), rows, options)


def test_goes_round(state: LogisticState) -> None:
    saved = state.to_phase_state()
    again = LogisticState.from_phase_state(saved).to_phase_state()
    assert again.data == saved.data
    assert {name: (array.shape, array.tobytes()) for name, array in again.arrays.items()} == {
        name: (array.shape, array.tobytes()) for name, array in saved.arrays.items()
    }
    assert saved.arrays["steps"].shape == (2, 3 * 6 + 3)


def test_a_snapshot_has_memory_of_its_own(state: LogisticState) -> None:
    for array in state.to_phase_state().arrays.values():
        for own in (state.weights, state.bias, state.gradient, state.mean, state.scale, *state.steps, *state.changes):
            assert not np.shares_memory(array, own)


def test_before_the_first_iteration() -> None:
    rows = rows_of(*clusters(50, 6, 3))
    saved = initial_state(rows, names(3), LogisticRegressor()).to_phase_state()
    assert saved.arrays["steps"].shape == saved.arrays["changes"].shape == (0, 21)
    assert LogisticState.from_phase_state(saved).steps == ()


def test_refuses_what_is_not_whole(state: LogisticState) -> None:
    saved = state.to_phase_state()
    for name in saved.arrays:
        with pytest.raises(InternalError, match=name):
            LogisticState.from_phase_state(
                PhaseState({key: array for key, array in saved.arrays.items() if key != name}, saved.data)
            )
    for name in saved.data:
        with pytest.raises(InternalError, match=name):
            LogisticState.from_phase_state(
                PhaseState(saved.arrays, {key: value for key, value in saved.data.items() if key != name})
            )


def test_refuses_arrays_that_do_not_fit(state: LogisticState) -> None:
    with pytest.raises(InternalError, match="bias"):
        replace(state, bias=np.zeros(4))
    with pytest.raises(InternalError, match="pairs"):
        replace(state, steps=state.steps[:1])
    with pytest.raises(InternalError, match="loss"):
        replace(state, loss=float("nan"))
