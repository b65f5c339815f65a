"""The head that logistic regression gives: one linear layer and a softmax; numpy, torch only for export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsession.errors import DamagedData
from mlsession.heads.layer import Layer, of_features, softmax
from mlsession.heads.options import LOGISTIC
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
        self._layer()

    @property
    def kind(self) -> str:
        return LOGISTIC

    @property
    def num_classes(self) -> int:
        return len(self.bias)

    @property
    def num_features(self) -> int:
        return int(self.weight.shape[1])

    def logits(self, features: Array) -> Array:
        """float32 [n, K] of float32 [n, D]; may round differently for another n. Raises `InvalidParameter`."""
        return of_features(self._layer(), features)

    def probabilities(self, features: Array) -> Array:
        """float64 [n, K] of float32 [n, D]: the softmax of `logits`, each row sums to 1."""
        return softmax(self.logits(features))

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
        return self._layer().module()

    def tempered(self, temperature: float) -> LogisticHead:
        """The head whose logits are these, divided by `temperature`; see `Head.tempered`."""
        layer = self._layer().tempered(temperature)
        return LogisticHead(weight=layer.weight, bias=layer.bias)

    def _layer(self) -> Layer:
        return Layer(weight=self.weight, bias=self.bias)
