"""The solver on functions whose minimum is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mlsession.heads.logistic.lbfgs import CURVATURE, SUFFICIENT_DECREASE, descent_direction, line_search
from mlsession.randomness import keyed_generator


@dataclass(frozen=True, slots=True)
class Value:
    loss: float
    gradient: torch.Tensor


Function = Callable[[torch.Tensor], Value]


def quadratic(size: int) -> tuple[Function, torch.Tensor, torch.Tensor]:
    """A function of curvatures from 1 to 1000, its Hessian, and where it is smallest."""
    generator = keyed_generator(0, "quadratic")
    rotation, _ = np.linalg.qr(generator.normal(size=(size, size)))
    hessian = torch.from_numpy(rotation @ np.diag(np.logspace(0, 3, size)) @ rotation.T)
    centre = torch.from_numpy(generator.normal(size=size))

    def evaluate(point: torch.Tensor) -> Value:
        gradient = hessian @ (point - centre)
        return Value(float((point - centre) @ gradient) / 2, gradient)

    return evaluate, hessian, centre


def test_direction_without_a_past_is_steepest_descent() -> None:
    gradient = torch.tensor([1.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(descent_direction(gradient, [], []), -gradient)


def test_direction_maps_the_last_change_to_its_step() -> None:
    """The secant equation: where the gradient is the newest change, the direction is minus the newest step."""
    _, hessian, _ = quadratic(6)
    steps = [torch.from_numpy(keyed_generator(place, "step").normal(size=6)) for place in range(4)]
    changes = [hessian @ step for step in steps]
    torch.testing.assert_close(descent_direction(changes[-1], steps, changes), -steps[-1])


def test_finds_the_minimum() -> None:
    evaluate, _, centre = quadratic(12)
    point = torch.zeros(12, dtype=torch.float64)
    value = evaluate(point)
    steps: list[torch.Tensor] = []
    changes: list[torch.Tensor] = []
    for _ in range(200):
        direction = descent_direction(value.gradient, steps, changes)
        found = line_search(evaluate, point, value.loss, value.gradient, direction, 1.0)
        if found is None:
            break
        steps, changes = (
            [*steps, found.point - point][-10:],
            [*changes, found.evaluation.gradient - value.gradient][-10:],
        )
        point, value = found.point, found.evaluation
    torch.testing.assert_close(point, centre, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [1e-4, 1.0, 1e3])
def test_line_search_fulfils_the_weak_wolfe_conditions(length: float) -> None:
    evaluate, _, _ = quadratic(5)
    calls = 0

    def counted(point: torch.Tensor) -> Value:
        nonlocal calls
        calls += 1
        return evaluate(point)

    start = torch.zeros(5, dtype=torch.float64)
    value = evaluate(start)
    direction = -value.gradient
    slope = float(value.gradient @ direction)
    found = line_search(counted, start, value.loss, value.gradient, direction, length)
    assert found is not None
    taken = float((found.point - start).norm() / direction.norm())
    assert found.evaluation.loss <= value.loss + SUFFICIENT_DECREASE * taken * slope
    assert float(found.evaluation.gradient @ direction) >= CURVATURE * slope
    assert found.evaluations == calls


def test_line_search_gives_up_where_there_is_no_descent() -> None:
    def uphill(point: torch.Tensor) -> Value:
        return Value(1.0 + float(point.abs().sum()), -torch.ones(2, dtype=torch.float64))

    start = torch.zeros(2, dtype=torch.float64)
    value = uphill(start)
    assert line_search(uphill, start, value.loss, value.gradient, -value.gradient, 1.0) is None
    assert line_search(uphill, start, value.loss, value.gradient, value.gradient, 1.0) is None


def test_line_search_takes_the_best_where_the_slope_never_flattens() -> None:
    """A function without a minimum: every longer step is better."""

    def downhill(point: torch.Tensor) -> Value:
        return Value(-float(point.sum()), -torch.ones(1, dtype=torch.float64))

    start = torch.zeros(1, dtype=torch.float64)
    found = line_search(
        downhill, start, 0.0, -torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64), 1.0
    )
    assert found is not None
    assert found.evaluations == 20
    assert float(found.point) == 2.0**19


def test_line_search_steps_back_from_where_the_loss_is_not_a_number() -> None:
    def barrier(point: torch.Tensor) -> Value:
        return Value(
            float((point - torch.log1p(point)).sum()) if bool((point > -1).all()) else float("nan"), point / (1 + point)
        )

    start = torch.full((1,), 3.0, dtype=torch.float64)
    value = barrier(start)
    found = line_search(barrier, start, value.loss, value.gradient, -value.gradient, 16.0)
    assert found is not None
    assert found.evaluation.loss < value.loss
