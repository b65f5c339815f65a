"""One linear layer, and the softmax that ends every head; numpy, torch only for export."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Array

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """outputs = inputs @ weight.T + bias. Raises `InvalidParameter` for arrays that are none such."""

    weight: Array
    """float32 [outputs, inputs]."""
    bias: Array
    """float32 [outputs]."""

    def __post_init__(self) -> None:
        for name, array, dimensions in (("weight", self.weight, 2), ("bias", self.bias, 1)):
            if array.dtype != np.float32 or array.ndim != dimensions:
                raise InvalidParameter(
                    name, f"{array.dtype} {array.shape}", f"must be float32 in {dimensions} dimensions"
                )
            if not np.isfinite(array).all():
                raise InvalidParameter(name, "infinite or not a number", "every element must be finite")
        if len(self.weight) != len(self.bias):
            raise InvalidParameter(
                "bias", self.bias.shape, f"must have {len(self.weight)} elements, as weight has rows"
            )

    def __call__(self, inputs: Array) -> Array:
        """float32 [n, outputs] of float32 [n, inputs]."""
        outputs: Array = inputs @ self.weight.T + self.bias
        return outputs

    def tempered(self, temperature: float) -> Layer:
        """outputs / temperature: divided in float64, then rounded. Raises `InvalidParameter` unless it is above 0."""
        if not (math.isfinite(temperature) and temperature > 0):
            raise InvalidParameter("temperature", temperature, "must be a finite number above 0")
        exact = [array.astype(np.float64) / temperature for array in (self.weight, self.bias)]
        weight, bias = (array.astype(np.float32) for array in exact)
        return Layer(weight=weight, bias=bias)

    def module(self) -> nn.Linear:
        """The same layer for torch, without gradients and in memory of its own."""
        import torch
        from torch import nn

        outputs, inputs = self.weight.shape
        # Built without memory: initialising it would draw from torch's global generator. And given its own, not made
        # `to_empty`, which imports sympy: half a second.
        layer = nn.Linear(inputs, outputs, device="meta")
        layer.weight = nn.Parameter(torch.tensor(self.weight), requires_grad=False)
        layer.bias = nn.Parameter(torch.tensor(self.bias), requires_grad=False)
        return layer


def of_features(layer: Layer, features: Array) -> Array:
    """float32 [n, outputs]: what the first layer of a head makes of features.

    Raises `InvalidParameter` unless they are float32 [n, inputs], every element finite: else the probabilities would be
    no numbers either, and the first class would pass for the answer.
    """
    width = layer.weight.shape[1]
    if features.ndim != 2 or features.shape[1] != width or features.dtype != np.float32:
        raise InvalidParameter("features", f"{features.dtype} {features.shape}", f"must be float32 [n, {width}]")
    with np.errstate(invalid="ignore"):
        outputs = layer(features)
    # There are far fewer of these, and what is not finite shows in each one of its row.
    if not np.isfinite(outputs).all():
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            reason = "it is infinite or not a number; choose another feature extractor, or leave that image out"
            raise InvalidParameter("features", f"row {int(finite.argmin())}", reason)
    return outputs


def softmax(logits: Array) -> Array:
    """float64 [n, K] of float32 [n, K]; each row sums to 1, however large the logits are."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
