"""The head that a multilayer perceptron's fit gives: linear layers with ReLU between them, then a softmax; numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.heads.layer import Layer, of_features, softmax
from mlsession.heads.options import PERCEPTRON
from mlsession.session.phase import Array, Arrays

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronHead:
    """A trained head; K classes, D features. Raises `InvalidParameter` for layers that do not follow each other."""

    layers: tuple[Layer, ...]
    """From the features to the logits; two at least, each takes as many inputs as the one before has outputs."""

    def __post_init__(self) -> None:
        if len(self.layers) < 2:
            raise InvalidParameter("layers", len(self.layers), "a multilayer perceptron has two or more")
        for place, (before, after) in enumerate(zip(self.layers, self.layers[1:], strict=False), start=1):
            if after.weight.shape[1] != len(before.bias):
                raise InvalidParameter(
                    f"layers.{place}.weight", after.weight.shape, f"must have {len(before.bias)} columns"
                )

    @property
    def kind(self) -> str:
        return PERCEPTRON

    @property
    def num_classes(self) -> int:
        return len(self.layers[-1].bias)

    @property
    def num_features(self) -> int:
        return int(self.layers[0].weight.shape[1])

    def logits(self, features: Array) -> Array:
        """float32 [n, K] of float32 [n, D]; may round differently for another n. Raises `InvalidParameter`."""
        outputs = of_features(self.layers[0], features)
        for layer in self.layers[1:]:
            outputs = layer(np.maximum(outputs, np.float32(0)))
        return outputs

    def probabilities(self, features: Array) -> Array:
        """float64 [n, K] of float32 [n, D]: the softmax of `logits`, each row sums to 1."""
        return softmax(self.logits(features))

    def tensors(self) -> dict[str, Array]:
        """What to save: `layers.<place>.weight` float32 [outputs, inputs], `layers.<place>.bias` float32 [outputs]."""
        return {
            f"layers.{place}.{name}": array
            for place, layer in enumerate(self.layers)
            for name, array in (("weight", layer.weight), ("bias", layer.bias))
        }

    @classmethod
    def from_tensors(cls, tensors: Arrays) -> PerceptronHead:
        """Read `tensors` back. Raises `DamagedData` when one is missing, `InvalidParameter` for a wrong one."""
        layers = []
        for place in range(max(2, -(-len(tensors) // 2))):
            names = [f"layers.{place}.{name}" for name in ("weight", "bias")]
            for name in names:
                if name not in tensors:
                    raise DamagedData("head", f"it has no tensor {name!r}")
            weight, bias = (tensors[name] for name in names)
            layers.append(Layer(weight=weight, bias=bias))
        return cls(layers=tuple(layers))

    def tempered(self, temperature: float) -> PerceptronHead:
        """The head whose logits are these, divided by `temperature`; see `Head.tempered`."""
        return PerceptronHead(layers=(*self.layers[:-1], self.layers[-1].tempered(temperature)))

    def module(self) -> nn.Sequential:
        """The same for torch, [n, D] -> logits [n, K]: `nn.Linear` and `nn.ReLU` in turn; see `Layer.module`."""
        from torch import nn

        modules: list[nn.Module] = []
        for layer in self.layers:
            modules += [layer.module(), nn.ReLU()]
        return nn.Sequential(*modules[:-1]).eval()
