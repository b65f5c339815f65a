"""A multilayer perceptron on torch tensors: where it begins, and the gradient of its loss in closed form.

Written out rather than left to autograd, so that no state but the caller's vectors exists, and the order of every
operation is fixed. Vectors are float [P] as `heads.perceptron.shape` lays them out; the arithmetic is in their dtype,
and the softmax in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mlsession.heads.perceptron.shape import NetworkShape
from mlsession.randomness import keyed_generator

FIRST_GAIN = 0.3
"""With few photos a smaller beginning generalises better: what is learnt outweighs what was drawn."""


def initial_point(shape: NetworkShape, seed: int) -> torch.Tensor:
    """float32 [P]: where a fit begins; biases are 0, weights uniform and a function of (seed, layer).

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015): the variance of a weight is 2 / inputs, and
    1 / inputs where no ReLU follows. Those of the first layer are `FIRST_GAIN` times that.
    """
    point = torch.zeros(shape.count, dtype=torch.float32)
    for place, layer in enumerate(shape.layers):
        bound = np.sqrt((3.0 if layer.stop == shape.count else 6.0) / layer.inputs)
        bound *= FIRST_GAIN if place == 0 else 1.0
        drawn = keyed_generator(seed, "weights", place).uniform(-bound, bound, layer.outputs * layer.inputs)
        point[layer.weight] = torch.from_numpy(drawn.astype(np.float32))
    return point


def dropout_masks(shape: NetworkShape, rows: int, rate: float, seed: int, epoch: int, batch: int) -> list[torch.Tensor]:
    """For each hidden layer float32 [rows, units]: 0 for the units left out, 1 / (1 - rate) for the others.

    A function of (seed, epoch, batch). Empty for rate 0. Source: Srivastava et al., "Dropout" (2014), scaled in
    training, so that the trained network needs no change.
    """
    if rate == 0:
        return []
    generator, kept = keyed_generator(seed, "dropout", epoch, batch), np.float32(1 / (1 - rate))
    drawn = [generator.random((rows, layer.outputs), dtype=np.float32) for layer in shape.layers[:-1]]
    return [torch.from_numpy(np.where(each < np.float32(rate), np.float32(0), kept)) for each in drawn]


def loss_gradient(
    point: torch.Tensor,
    shape: NetworkShape,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    masks: Sequence[torch.Tensor] = (),
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """[P]: the gradient of the mean cross-entropy of `inputs` [n, D] and `labels` int64 [n] with respect to `point`.

    `masks` are factors of the hidden units, see `dropout_masks`; none keeps them as they are. `weights` float64 [n]
    are factors of the rows: their cross-entropies are weighted, and still divided by n.
    """
    layers = shape.layers
    matrices = [point[layer.weight].view(layer.outputs, layer.inputs) for layer in layers]
    values, slopes = [inputs], []
    for place, layer in enumerate(layers[:-1]):
        sums = torch.addmm(point[layer.bias], values[-1], matrices[place].T)
        slope = (sums > 0).to(sums.dtype)
        if masks:
            slope.mul_(masks[place].to(sums.dtype))
        slopes.append(slope)
        values.append(sums.mul_(slope))
    logits = torch.addmm(point[layers[-1].bias], values[-1], matrices[-1].T)
    # The gradient with respect to a row's logits is its probabilities, less 1 at the true class.
    residual = torch.softmax(logits.to(torch.float64), dim=1)
    residual.scatter_add_(1, labels[:, None], torch.full((len(labels), 1), -1.0, dtype=torch.float64))
    if weights is not None:
        residual.mul_(weights[:, None])
    delta = residual.div_(len(labels)).to(point.dtype)
    gradient = torch.empty_like(point)
    for place in reversed(range(len(layers))):
        layer = layers[place]
        gradient[layer.weight] = (delta.T @ values[place]).flatten()
        gradient[layer.bias] = delta.sum(dim=0)
        if place:
            delta = (delta @ matrices[place]).mul_(slopes[place - 1])
    return gradient
