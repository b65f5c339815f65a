"""The fit of a multilayer perceptron: Adam on mini-batches; an iteration is one epoch, a pass over the rows.

    hold out a tenth of the images, see `heads.perceptron.stopping`
    for each mini-batch of `epoch_order(seed, epoch, rows fitted to)`:
        gradient of its mean cross-entropy, weighted by class, hidden units left out by (seed, epoch, batch)
        one step of Adam
    loss and accuracy on the rows fitted to, loss on those held out
    if that is the lowest so far: these are the best weights, and their temperature is fitted on the rows held out
    converged?

The head is that of the best weights, made to say what it means by the temperature; the fit goes on from the newest
ones. It has converged when the last few epochs have lowered the lowest loss on the rows held out by less than the
tolerance. Without any, the head is that of the newest weights, and the loss that of the rows fitted to. The learning
rate is constant: a schedule that ends with the limit would make 10 + 10 epochs another fit than 20.

The same rows, state, seed and number of torch threads give the same bits, whatever batches the rows come in. Memory:
five vectors of all weights, and one mini-batch or one block of rows. An epoch is one step for the session, and is not
saved half-way: 20,000 rows of 1,280 features take about a second of one CPU core, so with half a million rows and more
a stop may lose the epoch it falls in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from mlsession.errors import InternalError, InvalidParameter
from mlsession.heads.blocks import block_of, owned
from mlsession.heads.class_weight import class_weights
from mlsession.heads.layer import Layer
from mlsession.heads.moments import measure, rounded
from mlsession.heads.options import MultilayerPerceptron
from mlsession.heads.perceptron.adam import adam_step, kept_share
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.perceptron.network import dropout_masks, initial_point, loss_gradient
from mlsession.heads.perceptron.order import epoch_order
from mlsession.heads.perceptron.score import Score, held_out_temperature, score
from mlsession.heads.perceptron.shape import NetworkShape
from mlsession.heads.perceptron.state import PerceptronState
from mlsession.heads.perceptron.stopping import HELD_OUT_PATIENCE, fitted_rows, has_converged, held_out_rows
from mlsession.heads.protocol import TrainingRows
from mlsession.session.phase import Array, PhaseState

BATCHES = 64
"""How many mini-batches an epoch has by default, as far as their size may be chosen for it."""
SMALLEST_BATCH, LARGEST_BATCH = 32, 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronFit:
    """`Fit` for a multilayer perceptron. The loss is the mean cross-entropy, without dropout and weight decay.

    `losses` and `accuracies` are those of the newest weights on the rows fitted to; the head may be of earlier ones.
    """

    state: PerceptronState
    options: MultilayerPerceptron
    seed: int

    @classmethod
    def begin(
        cls, rows: TrainingRows, classes: Sequence[str], options: MultilayerPerceptron, seed: int
    ) -> PerceptronFit:
        """The fit before the first epoch: one pass over the rows.

        Raises `UnusableData`, see `measure`, and `InvalidParameter` for a class weight of a label that no class has.
        """
        moments = measure(rows, classes)
        shape = NetworkShape(sizes=(len(moments.mean), *options.layer_sizes, len(classes)))
        # Between dividing all features by one number, which lets a few of them drown the others, and dividing each by
        # its own deviation, which blows up those that hardly ever differ from 0.
        scale = rounded(moments.scale(floor=float(moments.variance.mean())))
        zeros, weights = np.zeros(shape.count, dtype=np.float32), initial_point(shape, seed).numpy()
        held_out = held_out_rows(rows, seed) if options.early_stopping else np.empty(0, dtype=np.int64)
        fitted = fitted_rows(rows, held_out)
        counts = np.bincount(rows.labels[fitted], minlength=len(classes))
        of_classes = class_weights(counts, classes, options.class_weight)
        state = PerceptronState(
            shape=shape,
            weights=weights,
            best_weights=weights if len(held_out) else weights[:0],
            first_moments=zeros,
            second_moments=zeros,
            mean=rounded(moments.mean).numpy(),
            scale=scale.numpy(),
            class_weights=of_classes * (len(fitted) / float(counts @ of_classes)),
            losses=np.empty(0, dtype=np.float64),
            accuracies=np.empty(0, dtype=np.float64),
            held_out=held_out,
            held_out_losses=np.empty(0, dtype=np.float64),
            iteration=0,
            best_iteration=0,
            steps=0,
            rows=moments.rows,
            batch_size=options.batch_size or default_batch_size(len(fitted)),
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
        fitted = fitted_rows(rows, self.state.held_out)
        trained = self._epoch(rows, fitted)
        if not np.isfinite(trained.weights).all():
            raise self._diverged()
        head = head_of(trained, trained.weights)
        on_fitted, on_held_out = score(head, rows, fitted, trained.held_out, trained.class_weights)
        if not np.isfinite(on_fitted.loss):
            raise self._diverged()
        return replace(self, state=self._advanced(trained, rows, on_fitted, on_held_out))

    def head(self) -> PerceptronHead:
        head = head_of(self.state, self.state.kept_weights)
        return head.tempered(self.state.temperature) if len(self.state.held_out) else head

    def to_phase_state(self) -> PhaseState:
        return self.state.to_phase_state()

    def _advanced(
        self, trained: PerceptronState, rows: TrainingRows, on_fitted: Score, on_held_out: Score
    ) -> PerceptronState:
        """One iteration more than `trained`, its scores noted."""
        tolerance, iteration = self.options.tolerance, trained.iteration + 1
        losses, held_out_losses = np.append(trained.losses, on_fitted.loss), trained.held_out_losses
        converged = has_converged(losses, tolerance)
        if len(trained.held_out):
            held_out_losses = np.append(held_out_losses, on_held_out.loss)
            converged = has_converged(held_out_losses, tolerance, HELD_OUT_PATIENCE)
        state = replace(
            trained,
            losses=losses,
            accuracies=np.append(trained.accuracies, on_fitted.accuracy),
            held_out_losses=held_out_losses,
            iteration=iteration,
            converged=converged,
        )
        if not len(state.held_out):
            return replace(state, best_iteration=iteration)
        if int(held_out_losses.argmin()) + 1 < iteration:  # Of equal ones the earliest is the best.
            return state
        return replace(
            state,
            best_weights=state.weights,
            best_iteration=iteration,
            temperature=held_out_temperature(head_of(state, state.weights), rows, state.held_out),
        )

    def _epoch(self, rows: TrainingRows, fitted: npt.NDArray[np.int64]) -> PerceptronState:
        """Weights and moments after the mini-batches of the next epoch."""
        before, options, epoch = self.state, self.options, self.state.iteration + 1
        point, first, second = (owned(array) for array in (before.weights, before.first_moments, before.second_moments))
        mean, scale = (owned(array).to(torch.float32) for array in (before.mean, before.scale))
        kept = kept_share(_is_weight(before.shape), options.learning_rate, options.weight_decay)
        order, step = fitted[epoch_order(self.seed, epoch, len(fitted))], before.steps
        weights = None if self.options.class_weight is None else owned(before.class_weights)
        for batch, start in enumerate(range(0, len(order), before.batch_size)):
            block = block_of(rows.take(order[start : start + before.batch_size]))
            inputs = block.features.sub_(mean).div_(scale)
            masks = dropout_masks(before.shape, len(inputs), options.dropout, self.seed, epoch, batch)
            of_rows = None if weights is None else weights[block.labels]
            gradient = loss_gradient(point, before.shape, inputs, block.labels, masks, of_rows)
            step += 1
            if options.weight_decay:
                point.mul_(kept)
            adam_step(point, first, second, gradient, step=step, learning_rate=options.learning_rate)
        return replace(
            before, weights=point.numpy(), first_moments=first.numpy(), second_moments=second.numpy(), steps=step
        )

    def _diverged(self) -> InvalidParameter:
        reason = f"the weights grow without end in epoch {self.iteration + 1}; choose a smaller one"
        return InvalidParameter("learning_rate", self.options.learning_rate, reason)


def default_batch_size(rows: int) -> int:
    """A 64th of the rows, rounded down to a power of two, from 32 to 256."""
    size = SMALLEST_BATCH
    while 2 * size * BATCHES <= rows and size < LARGEST_BATCH:
        size *= 2
    return size


def head_of(state: PerceptronState, weights: Array) -> PerceptronHead:
    """The head that weights float32 [P] give, as they are: without the temperature.

    Standardisation is folded into the first layer, in float64, then rounded to float32.
    """
    layers: list[Layer] = []
    for place in state.shape.layers:
        weight = weights[place.weight].reshape(place.outputs, place.inputs)
        bias = weights[place.bias]
        if not layers:
            exact = weight.astype(np.float64) / state.scale
            # Not a matrix product of BLAS: its rounding could depend on how a restored array lies in memory.
            bias = (bias.astype(np.float64) - (exact * state.mean).sum(axis=1)).astype(np.float32)
            weight = exact.astype(np.float32)
        layers.append(Layer(weight=weight, bias=bias))
    return PerceptronHead(layers=tuple(layers))


def _is_weight(shape: NetworkShape) -> torch.Tensor:
    """bool [P]: the weights, and not the biases."""
    weights = torch.zeros(shape.count, dtype=torch.bool)
    for layer in shape.layers:
        weights[layer.weight] = True
    return weights
