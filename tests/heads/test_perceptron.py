"""The trained multilayer perceptron."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.heads.layer import Layer
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array


@pytest.fixture
def head() -> PerceptronHead:
    generator, sizes = keyed_generator(0, "perceptron"), (5, 7, 4, 3)
    layers = [
        Layer(
            weight=generator.normal(size=(outputs, inputs)).astype(np.float32),
            bias=generator.normal(size=outputs).astype(np.float32),
        )
        for inputs, outputs in pairwise(sizes)
    ]
    return PerceptronHead(layers=tuple(layers))


@pytest.fixture
def features() -> Array:
    return keyed_generator(0, "features").normal(size=(9, 5)).astype(np.float32)


def test_agrees_with_torch(head: PerceptronHead, features: Array) -> None:
    values = torch.from_numpy(features).double()
    for place, layer in enumerate(head.layers):
        values = values @ torch.from_numpy(layer.weight).double().T + torch.from_numpy(layer.bias)
        values = torch.relu(values) if place < 2 else values
    np.testing.assert_allclose(head.logits(features), values.numpy(), rtol=1e-4, atol=1e-5)
    assert head.logits(features).dtype == np.float32
    np.testing.assert_allclose(head.probabilities(features), torch.softmax(values, 1).numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(head.probabilities(features).sum(axis=1), 1, rtol=1e-12)
    assert (head.num_features, head.num_classes) == (5, 3)


def test_module_is_a_plain_sequence_that_can_be_traced(head: PerceptronHead, features: Array) -> None:
    before = torch.get_rng_state()
    module = head.module()
    assert torch.equal(torch.get_rng_state(), before)
    kinds = [type(each).__name__ for each in module]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    inputs = torch.from_numpy(features)
    np.testing.assert_allclose(module(inputs).numpy(), head.logits(features), rtol=1e-4, atol=1e-5)
    exported = torch.export.export(module, (inputs,)).module()
    torch.testing.assert_close(exported(inputs), module(inputs))
    assert not any(parameter.requires_grad for parameter in module.parameters())
    next(module.parameters()).zero_()
    assert head.layers[0].weight.any()


def test_tensors_go_round(head: PerceptronHead, features: Array) -> None:
    tensors = head.tensors()
    assert sorted(tensors) == sorted(f"layers.{place}.{name}" for place in range(3) for name in ("bias", "weight"))
    assert PerceptronHead.from_tensors(tensors).logits(features).tobytes() == head.logits(features).tobytes()
    for name in tensors:
        with pytest.raises(DamagedData):
            PerceptronHead.from_tensors({key: tensor for key, tensor in tensors.items() if key != name})
    with pytest.raises(DamagedData, match=r"layers\.3"):
        PerceptronHead.from_tensors({**tensors, "weight": tensors["layers.0.weight"], "bias": np.zeros(1)})


def test_refuses_layers_that_do_not_follow_each_other(head: PerceptronHead) -> None:
    with pytest.raises(InvalidParameter, match=r"layers\.1\.weight"):
        replace(head, layers=(head.layers[0], head.layers[2]))
    with pytest.raises(InvalidParameter, match="two or more"):
        replace(head, layers=head.layers[:1])


def test_refuses_other_features(head: PerceptronHead) -> None:
    for wrong in (np.zeros((2, 4), dtype=np.float32), np.zeros(5, dtype=np.float32), np.zeros((2, 5))):
        with pytest.raises(InvalidParameter, match="features"):
            head.logits(wrong)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_features_that_are_no_numbers(head: PerceptronHead, value: float) -> None:
    """Their probabilities would be no numbers, and the first class would pass for the answer."""
    for place in range(5):
        wrong = np.zeros((3, 5), dtype=np.float32)
        wrong[1, place] = value
        with pytest.raises(InvalidParameter, match=r"row 1'?: it is infinite or not a number; choose another"):
            head.probabilities(wrong)
