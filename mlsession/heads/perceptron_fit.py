"""The fit of a multilayer perceptron: Adam on mini-batches; an iteration is one epoch, a pass over the rows.

    for each mini-batch of `epoch_order(seed, epoch, rows)`:
        gradient of its mean cross-entropy, hidden units left out by (seed, epoch, batch)
        one step of Adam
    loss and accuracy of the head on all training rows; converged?

The learning rate is constant: a schedule that ends with the limit would make 10 + 10 epochs another fit than 20. The
fit has converged when the last `PATIENCE` epochs have lowered the lowest loss by less than the tolerance.

The same rows, state, seed and number of torch threads give the same bits, whatever batches the rows come in. Memory:
four vectors of all weights, and one mini-batch or one block of rows. An epoch is one step for the session, and is not
saved half-way: 20,000 rows of 1,280 features take about a second of one CPU core, so with half a million rows and more
a stop may lose the epoch it falls in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mlsession.errors import InternalError, InvalidParameter
from mlsession.heads.adam import adam_step, kept_share
from mlsession.heads.blocks import Rows, block_of, fixed_blocks, owned
from mlsession.heads.layer import Layer
from mlsession.heads.moments import measure, rounded
from mlsession.heads.network import dropout_masks, initial_point, loss_gradient
from mlsession.heads.options import MultilayerPerceptron
from mlsession.heads.order import epoch_order
from mlsession.heads.perceptron import PerceptronHead
from mlsession.heads.perceptron_state import PerceptronState
from mlsession.heads.protocol import TrainingRows
from mlsession.heads.shape import NetworkShape
from mlsession.session.phase import Array, PhaseState

PATIENCE = 10
"""Epochs that may pass without progress; as in scikit-learn."""
BATCHES = 64
"""How many mini-batches an epoch has by default, as far as their size may be chosen for it."""
SMALLEST_BATCH, LARGEST_BATCH = 32, 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronFit:
    """`Fit` for a multilayer perceptron. The loss is the mean cross-entropy, without dropout and weight decay."""

    state: PerceptronState
    options: MultilayerPerceptron
    seed: int

    @classmethod
    def begin(
        cls, rows: TrainingRows, classes: Sequence[str], options: MultilayerPerceptron, seed: int
    ) -> PerceptronFit:
        """The fit before the first epoch: one pass over the rows. Raises `UnusableData`, see `measure`."""
        moments = measure(rows, classes)
        shape = NetworkShape(sizes=(len(moments.mean), *options.layer_sizes, len(classes)))
        # Between dividing all features by one number, which lets a few of them drown the others, and dividing each by
        # its own deviation, which blows up those that hardly ever differ from 0.
        scale = rounded(moments.scale(floor=float(moments.variance.mean())))
        zeros = np.zeros(shape.count, dtype=np.float32)
        state = PerceptronState(
            shape=shape,
            weights=initial_point(shape, seed).numpy(),
            first_moments=zeros,
            second_moments=zeros,
            mean=rounded(moments.mean).numpy(),
            scale=scale.numpy(),
            losses=np.empty(0, dtype=np.float64),
            accuracies=np.empty(0, dtype=np.float64),
            iteration=0,
            steps=0,
            rows=moments.rows,
            batch_size=options.batch_size or default_batch_size(moments.rows),
            converged=False,
        )
        return cls(state=state, options=options, seed=seed)

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

    def advance(self, rows: TrainingRows) -> PerceptronFit:
        """One epoch. Raises `InvalidParameter` where the learning rate is so high that the weights grow without end."""
        if self.converged:
            return self
        if len(rows) != self.state.rows:
            raise InternalError(f"a fit to {self.state.rows} rows cannot go on with {len(rows)}")
        trained = self._epoch(rows)
        if not np.isfinite(trained.weights).all():
            raise self._diverged(trained.iteration)
        loss, accuracy = score(head_of(trained), rows)
        if not np.isfinite(loss):
            raise self._diverged(trained.iteration)
        losses = np.append(trained.losses, loss)
        state = replace(
            trained,
            losses=losses,
            accuracies=np.append(trained.accuracies, accuracy),
            iteration=trained.iteration + 1,
            converged=has_converged(losses, self.options.tolerance),
        )
        return replace(self, state=state)

    def head(self) -> PerceptronHead:
        return head_of(self.state)

    def to_phase_state(self) -> PhaseState:
        return self.state.to_phase_state()

    def _epoch(self, rows: TrainingRows) -> PerceptronState:
        """Weights and moments after the mini-batches of the next epoch."""
        before, options, epoch = self.state, self.options, self.state.iteration + 1
        point, first, second = (owned(array) for array in (before.weights, before.first_moments, before.second_moments))
        mean, scale = (owned(array).to(torch.float32) for array in (before.mean, before.scale))
        kept = kept_share(_is_weight(before.shape), options.learning_rate, options.weight_decay)
        order, step = epoch_order(self.seed, epoch, before.rows), before.steps
        for batch, start in enumerate(range(0, before.rows, before.batch_size)):
            block = block_of(rows.take(order[start : start + before.batch_size]))
            inputs = block.features.sub_(mean).div_(scale)
            masks = dropout_masks(before.shape, len(inputs), options.dropout, self.seed, epoch, batch)
            gradient = loss_gradient(point, before.shape, inputs, block.labels, masks)
            step += 1
            if options.weight_decay:
                point.mul_(kept)
            adam_step(point, first, second, gradient, step=step, learning_rate=options.learning_rate)
        return replace(
            before, weights=point.numpy(), first_moments=first.numpy(), second_moments=second.numpy(), steps=step
        )

    def _diverged(self, iteration: int) -> InvalidParameter:
        reason = f"the weights grow without end in epoch {iteration + 1}; choose a smaller one"
        return InvalidParameter("learning_rate", self.options.learning_rate, reason)


def default_batch_size(rows: int) -> int:
    """A 64th of the rows, rounded down to a power of two, from 32 to 256."""
    size = SMALLEST_BATCH
    while 2 * size * BATCHES <= rows and size < LARGEST_BATCH:
        size *= 2
    return size


def has_converged(losses: Array, tolerance: float) -> bool:
    """Whether the last `PATIENCE` of the losses have lowered the lowest by less than `tolerance`."""
    if len(losses) <= PATIENCE:
        return False
    return bool(losses[:-PATIENCE].min() - losses[-PATIENCE:].min() < tolerance)


def head_of(state: PerceptronState) -> PerceptronHead:
    """The head of a state: standardisation folded into the first layer, in float64, then rounded to float32."""
    layers: list[Layer] = []
    for place in state.shape.layers:
        weight = state.weights[place.weight].reshape(place.outputs, place.inputs)
        bias = state.weights[place.bias]
        if not layers:
            exact = weight.astype(np.float64) / state.scale
            # Not a matrix product of BLAS: its rounding could depend on how a restored array lies in memory.
            bias = (bias.astype(np.float64) - (exact * state.mean).sum(axis=1)).astype(np.float32)
            weight = exact.astype(np.float32)
        layers.append(Layer(weight=weight, bias=bias))
    return PerceptronHead(layers=tuple(layers))


def score(head: PerceptronHead, rows: Rows) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a head, in one pass; see `heads.blocks` for why the blocks are fixed."""
    module, loss, correct, count = head.module(), 0.0, 0, 0
    for block in fixed_blocks(rows):
        truth = block.labels[:, None]
        scores = torch.log_softmax(module(block.features).to(torch.float64), dim=1)
        loss -= float(scores.gather(1, truth).sum())
        correct += int((scores.argmax(dim=1, keepdim=True) == truth).sum())
        count += len(truth)
    return loss / count, correct / count


def _is_weight(shape: NetworkShape) -> torch.Tensor:
    """bool [P]: the weights, and not the biases."""
    weights = torch.zeros(shape.count, dtype=torch.bool)
    for layer in shape.layers:
        weights[layer.weight] = True
    return weights
