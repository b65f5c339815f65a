"""The head that a fit gives: one linear layer and a softmax; numpy, torch only for export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.session.phase import Array, Arrays

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticHead:
    """A trained head; K classes, D features."""

    weight: Array
    """float32 [K, D]."""
    bias: Array
    """float32 [K]."""

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

    def logits(self, features: Array) -> Array:
        """float32 [n, K] of float32 [n, D]; may round differently for another n. Raises `InvalidParameter`."""
        if features.ndim != 2 or features.shape[1] != self.weight.shape[1] or features.dtype != np.float32:
            raise InvalidParameter(
                "features", f"{features.dtype} {features.shape}", f"must be float32 [n, {self.weight.shape[1]}]"
            )
        logits: Array = features @ self.weight.T + self.bias
        return logits

    def probabilities(self, features: Array) -> Array:
        """float64 [n, K] of float32 [n, D]: the softmax of `logits`, each row sums to 1."""
        logits = self.logits(features).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def tensors(self) -> dict[str, Array]:
        """What to save: {"weight": float32 [K, D], "bias": float32 [K]}."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def from_tensors(cls, tensors: Arrays) -> LogisticHead:
        """Read `tensors` back. Raises `DamagedData` when one is missing, `InvalidParameter` for a wrong one."""
        for name in ("weight", "bias"):
            if name not in tensors:
                raise DamagedData("head", f"it has no tensor {name!r}")
        return cls(weight=tensors["weight"], bias=tensors["bias"])

    def module(self) -> nn.Linear:
        """The same layer for torch, [n, D] -> logits [n, K], without gradients and in memory of its own."""
        import torch
        from torch import nn

        classes, features = self.weight.shape
        # Built without memory first: initialising it would draw from torch's global generator.
        layer = nn.Linear(features, classes, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(self.weight))
            layer.bias.copy_(torch.tensor(self.bias))
        layer.requires_grad_(False)
        return layer
