"""The saved form of a perceptron's fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InternalError
from mlsession.heads.perceptron.shape import NetworkShape
from mlsession.heads.perceptron.state import PerceptronState
from mlsession.randomness import keyed_generator
from mlsession.session.phase import PhaseState
from tests.heads.rows import same_bits


def made(sizes: tuple[int, ...], iteration: int = 2, converged: bool = False, held_out: int = 3) -> PerceptronState:
    shape, generator = NetworkShape(sizes=sizes), keyed_generator(0, "state")
    vectors = [generator.normal(size=shape.count).astype(np.float32) for _ in range(3)]
    return PerceptronState(
        shape=shape,
        weights=vectors[0],
        best_weights=vectors[0][: shape.count if held_out else 0] * 2,
        first_moments=vectors[1],
        second_moments=vectors[2],
        mean=generator.normal(size=sizes[0]),
        scale=generator.normal(size=sizes[0]),
        class_weights=generator.random(sizes[-1]),
        losses=generator.normal(size=iteration),
        accuracies=generator.normal(size=iteration),
        held_out=np.arange(held_out, dtype=np.int64),
        held_out_losses=generator.normal(size=iteration if held_out else 0),
        iteration=iteration,
        best_iteration=iteration // 2,
        steps=7 * iteration,
        rows=100,
        batch_size=32,
        converged=converged,
        temperature=1.25,
    )


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=6),
    iteration=st.integers(0, 30),
    converged=st.booleans(),
    held_out=st.integers(0, 3),
)
def test_goes_round(sizes: list[int], iteration: int, converged: bool, held_out: int) -> None:
    state = made(tuple(sizes), iteration, converged, held_out)
    saved = state.to_phase_state()
    again = PerceptronState.from_phase_state(saved)
    assert same_bits(again.to_phase_state(), saved)
    assert (again.shape, again.converged, again.steps) == (state.shape, converged, 7 * iteration)
    assert (again.best_iteration, again.temperature) == (iteration // 2, 1.25)
    assert again.kept_weights.tobytes() == (state.best_weights if held_out else state.weights).tobytes()
    assert not any(np.shares_memory(saved.arrays[name], getattr(state, name)) for name in saved.arrays)


def test_refuses_what_is_not_whole() -> None:
    saved = made((4, 3, 2)).to_phase_state()
    for name in saved.arrays:
        with pytest.raises(InternalError, match=name):
            PerceptronState.from_phase_state(
                PhaseState({key: array for key, array in saved.arrays.items() if key != name}, saved.data)
            )
    for name in saved.data:
        with pytest.raises(InternalError, match=name):
            PerceptronState.from_phase_state(
                PhaseState(saved.arrays, {key: value for key, value in saved.data.items() if key != name})
            )


def test_refuses_arrays_that_do_not_fit() -> None:
    state = made((4, 3, 2))
    with pytest.raises(InternalError, match="weights"):
        replace(state, weights=state.weights[:-1])
    with pytest.raises(InternalError, match="second_moments is float64"):
        replace(state, second_moments=state.second_moments.astype(np.float64))
    with pytest.raises(InternalError, match="held_out_losses"):
        replace(state, held_out=state.held_out[:0], best_weights=state.best_weights[:0])
    with pytest.raises(InternalError, match="best_weights"):
        replace(state, best_weights=state.best_weights[:0])
    with pytest.raises(InternalError, match="batches of 0"):
        replace(state, batch_size=0)
