"""Multinomial logistic regression: full-batch L-BFGS, streamed over the rows, one iteration at a time.

    state = initial_state(rows, classes, options)
    while not state.converged and state.iteration < limit:
        state = iterate(state, rows, options)
    head = head_of(state)

`LogisticFit` is the same as a `Fit`. What is minimised stands in `heads.logistic.objective`. The solver works on
standardised features and transforms the penalty back, so the optimum is the one stated; only the way to it is
shorter. It has converged when no element of its gradient is larger than the tolerance, or when rounding hides any
further descent.

The same rows, state and number of torch threads give the same bits: passes are cut into fixed blocks, matrix products
are float32 on memory that torch allocates, and everything that is summed over blocks or kept is float64. Blocks are
worked on by threads of our own, which change no bit. Memory: for each of these threads (8 at most) a block of features
and of scores, some 5 + 20 MB with D = 1,280 and K = 1,000, and a float32 [K, D]; `MEMORY` pairs of float64
[K * D + K], 200 MB of them there; whatever number of rows there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mlsession.heads.blocks import Rows, aligned, owned
from mlsession.heads.chosen import Chosen, Start
from mlsession.heads.class_weight import class_weights
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.logistic.lbfgs import MEMORY, descent_direction, line_search
from mlsession.heads.logistic.objective import Objective, Passes, Streamed, block_rows_for, split_point
from mlsession.heads.moments import Moments, measure, rounded
from mlsession.heads.options import DEFAULT_STRENGTH, LogisticRegressor
from mlsession.heads.protocol import TrainingRows
from mlsession.heads.state import LogisticState
from mlsession.session.phase import Array, PhaseState

FITTED_CURVATURE = 1 / 32
"""About what p * (1 - p) is on average once a softmax fits; only the speed depends on it, not the optimum."""
ORTHOGONAL = 1e-10
"""A step whose curvature is relatively smaller than this is not remembered."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticFit:
    """`Fit` for logistic regression; an iteration is one of L-BFGS. The loss is the objective, penalty included."""

    state: LogisticState
    options: LogisticRegressor

    @classmethod
    def begin(
        cls, rows: TrainingRows, classes: Sequence[str], options: LogisticRegressor, chosen: Chosen | None = None
    ) -> LogisticFit:
        """The fit before its first iteration, see `initial_state`; it begins where `chosen` says, if it does."""
        state = initial_state(rows, classes, options, chosen.start if chosen else None)
        return cls(state=replace(state, temperature=chosen.temperature if chosen else 1.0), options=options)

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
        head, temperature = head_of(self.state), self.state.temperature
        return head if temperature == 1 else head.tempered(temperature)

    def to_phase_state(self) -> PhaseState:
        return self.state.to_phase_state()


def initial_state(
    rows: Rows, classes: Sequence[str], options: LogisticRegressor, start: Start | None = None
) -> LogisticState:
    """The state before the first iteration: two passes over the rows.

    `classes` names label 0, 1, ... Without a `start` all weights are 0. Raises `UnusableData` when there is a class
    without rows, or a feature that is infinite or not a number, and `InvalidParameter` for a class weight of a label
    that no class has.
    """
    moments = measure(rows, classes)
    l2 = l2_of(DEFAULT_STRENGTH, moments) if options.l2 is None else options.l2
    weights = class_weights(moments.class_counts, classes, options.class_weight)
    return state_at(start, moments, l2, weights, Streamed(rows, block_rows_for(len(classes))))


def l2_of(strength: float, moments: Moments) -> float:
    """The penalty of a strength that depends neither on the unit of the features nor on the number of rows."""
    return strength * float(moments.variance.mean()) / moments.rows


def state_at(
    start: Start | None, moments: Moments, l2: float, of_classes: Array, passes: Passes, *, centred: bool = False
) -> LogisticState:
    """The state at a point, before the first iteration: one pass over the rows.

    `of_classes` float64 [K] are the class weights. `moments` are those of the rows, or about those: they decide how
    the solver goes about it, not where it ends. `centred`: `moments.mean` is taken off the rows already.
    """
    classes, mean = len(of_classes), rounded(moments.mean)
    scale = rounded(solver_scale(moments, l2))
    point = torch.zeros(classes * (len(mean) + 1), dtype=torch.float64)
    if start is not None:
        weights, bias = split_point(point, classes)
        given = owned(start.weights).view(classes, -1)
        weights.copy_(given * scale)
        bias.copy_(owned(start.bias) + (given * mean).sum(dim=1))
    weights, bias = split_point(point, classes)
    evaluation = Objective(
        passes=passes,
        classes=classes,
        mean=None if centred else mean,
        scale=scale,
        l2=l2,
        class_weights=_of_rows(of_classes),
    )(point)
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
        class_weights=of_classes,
        losses=np.empty(0, dtype=np.float64),
        accuracies=np.empty(0, dtype=np.float64),
    )


def iterate(state: LogisticState, rows: Rows, options: LogisticRegressor) -> LogisticState:
    """The state after one more L-BFGS iteration: about 1.1 passes over the rows, at most `MAX_EVALUATIONS`.

    `rows` must give the rows that `state` began with. A state that has converged is returned as it is. When rounding
    hides all descent, the point stays, and the state has converged.
    """
    return descend(state, Streamed(rows, block_rows_for(len(state.bias))), options.tolerance)


def descend(state: LogisticState, passes: Passes, tolerance: float, *, centred: bool = False) -> LogisticState:
    """`iterate`, over passes of any kind; `centred`: the state's mean is taken off the rows already."""
    if state.converged:
        return state
    point, gradient = owned(state.weights, state.bias), aligned(state.gradient)
    steps, changes = [aligned(step) for step in state.steps], [aligned(change) for change in state.changes]
    objective = Objective(
        passes=passes,
        classes=len(state.bias),
        mean=None if centred else aligned(state.mean),
        scale=aligned(state.scale),
        l2=state.l2,
        class_weights=_of_rows(state.class_weights),
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
            converged=is_flat(found.evaluation.gradient.numpy(), tolerance),
        )
    )


def is_flat(gradient: Array, tolerance: float) -> bool:
    """Whether no element of a gradient is larger than the tolerance."""
    return bool(np.abs(gradient).max() <= tolerance)


def start_of(state: LogisticState) -> Start:
    """The state's point, for features as they are."""
    weights = state.weights / state.scale
    # Not a matrix product of BLAS: its rounding could depend on how a restored array lies in memory.
    return Start(weights=weights, bias=state.bias - (weights * state.mean).sum(axis=1))


def head_of(state: LogisticState) -> LogisticHead:
    """The head at the state's point, before its temperature: standardisation folded in, in float64, then rounded."""
    folded = start_of(state)
    return LogisticHead(weight=folded.weights.astype(np.float32), bias=folded.bias.astype(np.float32))


def solver_scale(moments: Moments, l2: float) -> torch.Tensor:
    """What the solver divides features by, float64 [D]: makes the diagonal of the Hessian about constant.

    The plain standard deviation would do so for the cross-entropy alone: where a feature hardly varies, the penalty
    would then be as steep as a wall, and the descent slow.
    """
    return moments.scale(l2 / FITTED_CURVATURE)


def _of_rows(of_classes: Array) -> torch.Tensor | None:
    """Class weights as the objective takes them."""
    return None if bool((of_classes == 1).all()) else owned(of_classes)


def _advanced(state: LogisticState) -> LogisticState:
    """One iteration more, its loss and accuracy noted."""
    return replace(
        state,
        iteration=state.iteration + 1,
        losses=np.append(state.losses, state.loss),
        accuracies=np.append(state.accuracies, state.accuracy),
    )
