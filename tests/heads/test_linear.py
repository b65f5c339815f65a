"""The trained head."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array


@pytest.fixture
def head() -> LogisticHead:
    generator = keyed_generator(0, "head")
    return LogisticHead(
        weight=generator.normal(size=(3, 5)).astype(np.float32), bias=generator.normal(size=3).astype(np.float32)
    )


@pytest.fixture
def features() -> Array:
    return keyed_generator(0, "features").normal(size=(7, 5)).astype(np.float32)


def test_agrees_with_torch(head: LogisticHead, features: Array) -> None:
    logits = torch.from_numpy(features) @ torch.from_numpy(head.weight).T + torch.from_numpy(head.bias)
    np.testing.assert_allclose(head.logits(features), logits.numpy(), rtol=1e-5, atol=1e-6)
    assert head.logits(features).dtype == np.float32
    expected = torch.softmax(logits.double(), dim=1).numpy()
    np.testing.assert_allclose(head.probabilities(features), expected, rtol=1e-5)


def test_probabilities_of_huge_logits(head: LogisticHead, features: Array) -> None:
    probabilities = head.probabilities(features * np.float32(1e6))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), head.logits(features * np.float32(1e6)).argmax(axis=1))


def test_tensors_go_round(head: LogisticHead, features: Array) -> None:
    again = LogisticHead.from_tensors(head.tensors())
    np.testing.assert_array_equal(again.logits(features), head.logits(features))
    with pytest.raises(DamagedData, match="bias"):
        LogisticHead.from_tensors({"weight": head.weight})


def test_module_is_the_same_layer_and_touches_no_global_generator(head: LogisticHead, features: Array) -> None:
    before = torch.get_rng_state()
    module = head.module()
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_allclose(module(torch.from_numpy(features)).numpy(), head.logits(features), rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    module.weight.zero_()
    assert head.weight.any()


def test_module_makes_no_training_wait_for_the_import_of_sympy() -> None:
    made = (
        "import sys, numpy\n"
        "from mlsession.heads.logistic.head import LogisticHead\n"
        "LogisticHead(weight=numpy.ones((3, 5), 'float32'), bias=numpy.zeros(3, 'float32')).module()\n"
        "sys.exit('sympy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", made], check=False).returncode == 0


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (np.zeros((2, 3)), np.zeros(2, dtype=np.float32)),
        (np.zeros((2, 3), dtype=np.float32), np.zeros(3, dtype=np.float32)),
        (np.zeros(2, dtype=np.float32), np.zeros(2, dtype=np.float32)),
        (np.full((2, 3), np.nan, dtype=np.float32), np.zeros(2, dtype=np.float32)),
    ],
)
def test_refuses_other_tensors(weight: Array, bias: Array) -> None:
    with pytest.raises(InvalidParameter):
        LogisticHead(weight=weight, bias=bias)


def test_refuses_other_features(head: LogisticHead) -> None:
    for wrong in (np.zeros((2, 4), dtype=np.float32), np.zeros(5, dtype=np.float32), np.zeros((2, 5))):
        with pytest.raises(InvalidParameter, match="features"):
            head.logits(wrong)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_features_that_are_no_numbers(head: LogisticHead, value: float) -> None:
    """Their probabilities would be no numbers, and the first class would pass for the answer."""
    for place in range(5):
        wrong = np.zeros((3, 5), dtype=np.float32)
        wrong[1, place] = value
        with pytest.raises(InvalidParameter, match=r"row 1'?: it is infinite or not a number; choose another"):
            head.probabilities(wrong)
