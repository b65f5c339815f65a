"""Gradient, dropout, where a fit begins, and Adam: torch is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlsession.errors import InternalError
from mlsession.heads.perceptron.adam import adam_step, kept_share
from mlsession.heads.perceptron.network import FIRST_GAIN, dropout_masks, initial_point, loss_gradient
from mlsession.heads.perceptron.shape import NetworkShape
from mlsession.randomness import keyed_generator

SHAPE = NetworkShape(sizes=(6, 5, 4, 3))


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(keyed_generator(1, "drawn", *shape).normal(size=shape))


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("sizes", [(6, 5, 3), (6, 5, 4, 3)])
def test_gradient_is_that_of_autograd(sizes: tuple[int, ...], rate: float) -> None:
    shape = NetworkShape(sizes=sizes)
    point, inputs = drawn(shape.count).requires_grad_(), drawn(9, 6)
    labels = torch.arange(9) % 3
    masks = dropout_masks(shape, 9, rate, seed=0, epoch=1, batch=2)
    values = inputs
    for place, layer in enumerate(shape.layers):
        weight = point[layer.weight].view(layer.outputs, layer.inputs)
        values = torch.nn.functional.linear(values, weight, point[layer.bias])
        if place < len(shape.layers) - 1:
            values = torch.relu(values) * (masks[place].double() if masks else 1.0)
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(values, labels), point)
    found = loss_gradient(point.detach(), shape, inputs, labels, masks)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    in_float32 = loss_gradient(point.detach().float(), shape, inputs.float(), labels, masks)
    torch.testing.assert_close(in_float32, expected.float(), rtol=1e-3, atol=1e-5)


def test_the_gradient_leaves_its_arguments_alone() -> None:
    point, inputs, labels = drawn(SHAPE.count), drawn(4, 6), torch.arange(4) % 3
    masks = dropout_masks(SHAPE, 4, 0.5, seed=0, epoch=1, batch=0)
    before = [each.clone() for each in (point, inputs, *masks)]
    loss_gradient(point, SHAPE, inputs, labels, masks)
    assert all(torch.equal(one, other) for one, other in zip(before, (point, inputs, *masks), strict=True))


def test_dropout_is_a_function_of_its_key() -> None:
    shape = NetworkShape(sizes=(3, 200, 100, 2))
    masks = dropout_masks(shape, 50, 0.2, seed=3, epoch=7, batch=1)
    assert [tuple(mask.shape) for mask in masks] == [(50, 200), (50, 100)]
    for mask in masks:
        assert np.unique(mask.numpy()).tolist() == [0.0, 1.25]
        assert float(mask.mean()) == pytest.approx(1, abs=0.05)
    again = dropout_masks(shape, 50, 0.2, seed=3, epoch=7, batch=1)
    assert all(torch.equal(one, other) for one, other in zip(masks, again, strict=True))
    for seed, epoch, batch in ((4, 7, 1), (3, 8, 1), (3, 7, 2)):
        assert not torch.equal(dropout_masks(shape, 50, 0.2, seed, epoch, batch)[0], masks[0])
    assert dropout_masks(shape, 50, 0.0, seed=3, epoch=7, batch=1) == []


def test_where_a_fit_begins() -> None:
    shape = NetworkShape(sizes=(400, 300, 100))
    state = torch.get_rng_state()
    point = initial_point(shape, 5)
    assert torch.equal(torch.get_rng_state(), state)
    first, last = shape.layers
    assert not point[first.bias].any()
    assert not point[last.bias].any()
    assert float(point[first.weight].std()) == pytest.approx(FIRST_GAIN * np.sqrt(2 / 400), rel=0.02)
    assert float(point[last.weight].std()) == pytest.approx(np.sqrt(1 / 300), rel=0.02)
    assert torch.equal(point, initial_point(shape, 5))
    assert not torch.equal(point, initial_point(shape, 6))


def test_layers_fill_the_vector_and_do_not_overlap() -> None:
    covered = np.zeros(SHAPE.count, dtype=np.int64)
    for layer in SHAPE.layers:
        covered[layer.weight] += 1
        covered[layer.bias] += 1
    assert (covered == 1).all()
    assert SHAPE.count == 6 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3
    with pytest.raises(InternalError, match="layers"):
        NetworkShape(sizes=(6, 3))
    with pytest.raises(InternalError, match="layers"):
        NetworkShape(sizes=(6, 0, 3))


@pytest.mark.parametrize("weight_decay", [0.0, 0.7])
def test_steps_are_those_of_torch(weight_decay: float) -> None:
    point = drawn(40).float()
    theirs = point.clone().requires_grad_()
    optimizer = torch.optim.AdamW([theirs], lr=0.01, weight_decay=weight_decay)
    first, second = torch.zeros(40), torch.zeros(40)
    kept = kept_share(torch.ones(40, dtype=torch.bool), 0.01, weight_decay)
    for step in range(1, 30):
        gradient = drawn(40, step)[:, 0].float()
        theirs.grad = gradient.clone()
        optimizer.step()
        point.mul_(kept)
        adam_step(point, first, second, gradient, step=step, learning_rate=0.01)
    torch.testing.assert_close(point, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_only_what_decays_is_shrunk() -> None:
    kept = kept_share(torch.tensor([True, False]), 0.1, 0.5)
    np.testing.assert_allclose(kept.numpy(), [0.95, 1.0], rtol=1e-6)
