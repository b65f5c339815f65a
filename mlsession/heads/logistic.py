"""Multinomial logistic regression: full-batch L-BFGS, streamed over the rows, one iteration at a time.

    state = initial_state(rows, classes, options)
    while not state.converged and state.iteration < limit:
        state = iterate(state, rows, options)
    head = head_of(state)

`LogisticFit` is the same as a `Fit`. What is minimised, over weights [K, D] and biases [K] (which are not penalised),
on features as they are:

    mean cross-entropy + l2 / 2 * ||weights||^2

The solver works on standardised features and transforms the penalty back, so the optimum is the one stated; only the
way to it is shorter. It has converged when no element of its gradient is larger than the tolerance, or when rounding
hides any further descent.

The same rows, state and number of torch threads give the same bits: passes are cut into fixed blocks, matrix products
are float32 on memory that torch allocates, and everything that is summed over blocks or kept is float64. Blocks are
worked on by threads of our own, which change no bit; memory is that of a block for each of them, and of `MEMORY` pairs
of float64 [K * D + K].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mlsession.heads.blocks import Block, Rows, aligned, owned, worked_blocks
from mlsession.heads.lbfgs import MEMORY, descent_direction, line_search
from mlsession.heads.linear import LogisticHead
from mlsession.heads.moments import Moments, measure, rounded
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.protocol import TrainingRows
from mlsession.heads.state import LogisticState
from mlsession.session.phase import Array, PhaseState

DEFAULT_STRENGTH = 10.0
"""The default l2 is this times the mean variance of a feature, divided by the rows."""
FITTED_CURVATURE = 1 / 32
"""About what p * (1 - p) is on average once a softmax fits; only the speed depends on it, not the optimum."""
ORTHOGONAL = 1e-10
"""A step whose curvature is relatively smaller than this is not remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The objective at one point."""

    loss: float
    gradient: torch.Tensor
    """float64 [K * D + K]."""
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The function that the solver minimises, of float64 points [K * D + K]: weights row by row, then biases."""

    rows: Rows
    classes: int
    mean: torch.Tensor
    """float64 [D], float32 values."""
    scale: torch.Tensor
    """float64 [D], float32 values."""
    l2: float

    def __call__(self, point: torch.Tensor) -> Evaluation:
        """One pass over the rows: the loss, and its gradient in closed form.

        Features are centred, and not scaled: the weights are, which is cheaper and loses nothing. To fold the mean
        into the biases as well would cancel digits where a feature varies little about a large mean.
        """
        weights, bias = split_point(point, self.classes)
        weights32, bias32 = (weights / self.scale).to(torch.float32), bias.to(torch.float32)
        mean32 = self.mean.to(torch.float32)
        loss, correct, count = 0.0, 0, 0
        weight_sum, bias_sum = torch.zeros_like(weights), torch.zeros_like(bias)
        for share in worked_blocks(self.rows, lambda block: _share(block, mean32, weights32, bias32)):
            loss, correct, count = loss + share.loss, correct + share.correct, count + share.count
            weight_sum += share.weights
            bias_sum += share.bias
        penalty = self.l2 * weights / self.scale.square()
        gradient = torch.cat([(weight_sum / (count * self.scale) + penalty).flatten(), bias_sum / count])
        return Evaluation(
            loss=loss / count + 0.5 * float((penalty * weights).sum()), gradient=gradient, accuracy=correct / count
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What one block adds to the sums of a pass."""

    loss: float
    correct: int
    count: int
    weights: torch.Tensor
    """float32 [K, D]."""
    bias: torch.Tensor
    """float64 [K]."""


def _share(block: Block, mean: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> _Share:
    features = block.features.sub_(mean)
    truth = block.labels[:, None]
    scores = torch.addmm(bias, features, weights.T).to(torch.float64)
    highest = scores.max(dim=1, keepdim=True)
    scores.sub_(highest.values)
    loss = -float(scores.gather(1, truth).sum())
    shares = scores.exp_()
    total = shares.sum(dim=1, keepdim=True)
    loss += float(total.log().sum())
    # The gradient with respect to a row's logits is its probabilities, less 1 at the true class.
    residual = shares.div_(total)
    residual.scatter_add_(1, truth, torch.full(truth.shape, -1.0, dtype=torch.float64))
    return _Share(
        loss=loss,
        correct=int((highest.indices == truth).sum()),
        count=len(truth),
        weights=residual.to(torch.float32).T @ features,
        bias=residual.sum(dim=0),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticFit:
    """`Fit` for logistic regression; an iteration is one of L-BFGS. The loss is the objective, penalty included."""

    state: LogisticState
    options: LogisticRegressor

    @property
    def iteration(self) -> int:
        return self.state.iteration

    @property
    def converged(self) -> bool:
        return self.state.converged

    @property
    def losses(self) -> Array:
        return self.state.losses

    @property
    def accuracies(self) -> Array:
        return self.state.accuracies

    def advance(self, rows: TrainingRows) -> LogisticFit:
        return replace(self, state=iterate(self.state, rows, self.options))

    def head(self) -> LogisticHead:
        return head_of(self.state)

    def to_phase_state(self) -> PhaseState:
        return self.state.to_phase_state()


def initial_state(rows: Rows, classes: Sequence[str], options: LogisticRegressor) -> LogisticState:
    """The state before the first iteration: two passes over the rows, all weights 0.

    `classes` names label 0, 1, ... Raises `UnusableData` when there is a class without rows, or a feature that is
    infinite or not a number.
    """
    moments = measure(rows, classes)
    l2 = DEFAULT_STRENGTH * float(moments.variance.mean()) / moments.rows if options.l2 is None else options.l2
    mean, scale = rounded(moments.mean), rounded(solver_scale(moments, l2))
    point = torch.zeros(len(classes) * (len(mean) + 1), dtype=torch.float64)
    evaluation = Objective(rows=rows, classes=len(classes), mean=mean, scale=scale, l2=l2)(point)
    weights, bias = split_point(point, len(classes))
    return LogisticState(
        weights=weights.numpy(),
        bias=bias.numpy(),
        gradient=evaluation.gradient.numpy(),
        loss=evaluation.loss,
        accuracy=evaluation.accuracy,
        steps=(),
        changes=(),
        iteration=0,
        evaluations=1,
        converged=False,
        rows=moments.rows,
        l2=l2,
        mean=mean.numpy(),
        scale=scale.numpy(),
        losses=np.empty(0, dtype=np.float64),
        accuracies=np.empty(0, dtype=np.float64),
    )


def iterate(state: LogisticState, rows: Rows, options: LogisticRegressor) -> LogisticState:
    """The state after one more L-BFGS iteration: about 1.1 passes over the rows, at most `MAX_EVALUATIONS`.

    `rows` must give the rows that `state` began with. A state that has converged is returned as it is. When rounding
    hides all descent, the point stays, and the state has converged.
    """
    if state.converged:
        return state
    point, gradient = owned(state.weights, state.bias), aligned(state.gradient)
    steps, changes = [aligned(step) for step in state.steps], [aligned(change) for change in state.changes]
    objective = Objective(
        rows=rows, classes=len(state.bias), mean=aligned(state.mean), scale=aligned(state.scale), l2=state.l2
    )
    direction = descent_direction(gradient, steps, changes)
    # Without a past the length of the gradient says nothing about that of the step: begin with a step of length 1.
    length = 1.0 if steps else 1.0 / max(1.0, float(direction.norm()))
    found = line_search(objective, point, state.loss, gradient, direction, length)
    if found is None:
        return _advanced(replace(state, converged=True))
    step, change = found.point - point, found.evaluation.gradient - gradient
    if float(step @ change) > ORTHOGONAL * float(step.norm()) * float(change.norm()):
        steps, changes = [*steps, step][-MEMORY:], [*changes, change][-MEMORY:]
    weights, bias = split_point(found.point, len(state.bias))
    return _advanced(
        replace(
            state,
            weights=weights.numpy(),
            bias=bias.numpy(),
            gradient=found.evaluation.gradient.numpy(),
            loss=found.evaluation.loss,
            accuracy=found.evaluation.accuracy,
            steps=tuple(vector.numpy() for vector in steps),
            changes=tuple(vector.numpy() for vector in changes),
            evaluations=state.evaluations + found.evaluations,
            converged=bool(found.evaluation.gradient.abs().max() <= options.tolerance),
        )
    )


def head_of(state: LogisticState) -> LogisticHead:
    """The head at the state's point: standardisation folded in, in float64, then rounded to float32."""
    weights = state.weights / state.scale
    # Not a matrix product of BLAS: its rounding could depend on how a restored array lies in memory.
    bias = state.bias - (weights * state.mean).sum(axis=1)
    return LogisticHead(weight=weights.astype(np.float32), bias=bias.astype(np.float32))


def solver_scale(moments: Moments, l2: float) -> torch.Tensor:
    """What the solver divides features by, float64 [D]: makes the diagonal of the Hessian about constant.

    The plain standard deviation would do so for the cross-entropy alone: where a feature hardly varies, the penalty
    would then be as steep as a wall, and the descent slow.
    """
    return moments.scale(l2 / FITTED_CURVATURE)


def split_point(point: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of a point's weights [K, D] and biases [K]."""
    weights, bias = point[:-classes], point[-classes:]
    return weights.view(classes, -1), bias


def _advanced(state: LogisticState) -> LogisticState:
    """One iteration more, its loss and accuracy noted."""
    return replace(
        state,
        iteration=state.iteration + 1,
        losses=np.append(state.losses, state.loss),
        accuracies=np.append(state.accuracies, state.accuracy),
    )
