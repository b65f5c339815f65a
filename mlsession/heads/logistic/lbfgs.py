"""L-BFGS for a smooth convex function, one iteration at a time: direction and line search, free of what is minimised.

Sources: the two-loop recursion is algorithm 7.4 of Nocedal and Wright, "Numerical Optimization", 2nd edition (2006);
the line search is the bisection for the weak Wolfe conditions of Lewis and Overton, "Nonsmooth optimization via
quasi-Newton methods", Mathematical Programming 141 (2013), algorithm 2.6.

All vectors are float64 [P] in memory allocated by torch, so that dot products round alike after a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch

MEMORY = 10
"""How many past steps form the curvature estimate."""
SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
MAX_EVALUATIONS = 20
ROUNDING = 1e-8
"""Relative error to expect in a loss that was computed from float32 products and summed in float64."""


class Evaluated(Protocol):
    """The function at one point."""

    @property
    def loss(self) -> float: ...

    @property
    def gradient(self) -> torch.Tensor:
        """float64 [P]."""
        ...


Evaluation = TypeVar("Evaluation", bound=Evaluated)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStep(Generic[Evaluation]):
    """Where a line search ended."""

    point: torch.Tensor
    """float64 [P]."""
    evaluation: Evaluation
    evaluations: int
    """How often the function was evaluated."""


def descent_direction(
    gradient: torch.Tensor, steps: Sequence[torch.Tensor], changes: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Minus the inverse Hessian, as estimated from the past, times the gradient.

    `steps` are differences of points, `changes` those of gradients, oldest first, with `step @ change > 0` each.
    """
    direction = -gradient
    shares: list[tuple[float, float]] = []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        inverse = 1.0 / float(step @ change)
        share = inverse * float(step @ direction)
        direction.sub_(change, alpha=share)
        shares.append((inverse, share))
    if steps:
        direction.mul_(float(steps[-1] @ changes[-1]) / float(changes[-1] @ changes[-1]))
    for (inverse, share), step, change in zip(reversed(shares), steps, changes, strict=True):
        direction.add_(step, alpha=share - inverse * float(change @ direction))
    return direction


def line_search(
    evaluate: Callable[[torch.Tensor], Evaluation],
    point: torch.Tensor,
    loss: float,
    gradient: torch.Tensor,
    direction: torch.Tensor,
    length: float,
) -> LineStep[Evaluation] | None:
    """A point along `direction` that lowers the loss enough and leaves less slope; `length` is tried first.

    After `MAX_EVALUATIONS` the best point that lowers the loss is taken. None: there is no such point, which for a
    convex function means that rounding hides all further progress.
    """
    slope = float(gradient @ direction)
    if slope >= 0.0:
        return None
    low, high = 0.0, float("inf")
    best: LineStep[Evaluation] | None = None
    for count in range(1, MAX_EVALUATIONS + 1):
        candidate = point + length * direction
        evaluation = evaluate(candidate)
        if not evaluation.loss <= loss + SUFFICIENT_DECREASE * length * slope:
            high = length
        else:
            if best is None or evaluation.loss < best.evaluation.loss:
                best = LineStep(point=candidate, evaluation=evaluation, evaluations=count)
            if float(evaluation.gradient @ direction) >= CURVATURE * slope:
                return LineStep(point=candidate, evaluation=evaluation, evaluations=count)
            low = length
        length = (low + high) / 2 if high < float("inf") else 2 * low
        # Below this the loss could change by rounding only.
        if -length * slope <= ROUNDING * SUFFICIENT_DECREASE * abs(loss):
            break
    return None if best is None else replace(best, evaluations=count)
