"""The published weights of EfficientNet-Lite, read as plain numbers: no pickle is loaded, and no torch is needed.

The files are named by their SHA-256, so what lies where in them is known beforehand: `lite_offsets.json` says it for
each tensor. A test compares every one with what `torch.load` reads.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.extractors.embedded.extractor import LiteVariant
from mlsession.extractors.embedded.plan import Convolution, LitePlan, plan_of
from mlsession.extractors.tuned import check_tensors
from mlsession.extractors.weights import packaged_bytes

Floats = npt.NDArray[np.float32]

_NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kernel:
    """What a convolution and its batch normalisation do at once."""

    weight: Floats
    """[outputs, inputs that each output sees, height, width]."""
    bias: Floats
    """[outputs]."""


def published_tensors(variant: LiteVariant) -> Mapping[str, Floats]:
    """By published name, for `plan_of(variant)`: kernels float32 [outputs, inputs, height, width], norms [outputs].

    Raises `ModelNotFound`; `DamagedData` if the file is not the one that was published.
    """
    data = packaged_bytes(variant.weights)
    table = importlib.resources.files(__package__).joinpath("lite_offsets.json").read_text()
    offsets: Mapping[str, int] = json.loads(table)[variant.weights.sha256]

    def numbers(name: str, count: int) -> Floats:
        return np.frombuffer(data, "<f4", count, offsets[name])

    tensors: dict[str, Floats] = {}
    for each in plan_of(variant).convolutions():
        outputs, inputs, side, _ = each.kernel_shape
        kernel = f"{each.name}.weight"
        flat = numbers(kernel, outputs * inputs * side * side)
        # The file has TensorFlow's order of axes, which for kernels of single channels is another one.
        if each.is_depthwise:
            tensors[kernel] = flat.reshape(side, side, outputs, 1).transpose(2, 3, 0, 1)
        else:
            tensors[kernel] = flat.reshape(side, side, inputs, outputs).transpose(3, 2, 0, 1)
        tensors |= {name: numbers(name, outputs) for name in _norm_names(each)}
    return tensors


def folded_kernels(plan: LitePlan, tensors: Mapping[str, Floats]) -> Mapping[str, Kernel]:
    """By the name of the convolution; `tensors` are those that `published_tensors` gives, or of the same names."""
    return {each.name: _folded(each, tensors) for each in plan.convolutions()}


def tuned_kernels(
    plan: LitePlan, kernels: Mapping[str, Kernel], tuned: Mapping[str, Floats], name: str
) -> Mapping[str, Kernel]:
    """The kernels with some of their tensors replaced, named as `lite.EfficientNetLite` does; all memory is new.

    `name` is the extractor's, for messages. Raises `InvalidParameter` for tensors of another network.
    """
    check_tensors(
        {
            f"{module}.{part}": tensor.shape
            for module, each in plan.modules()
            for part, tensor in (("weight", kernels[each.name].weight), ("bias", kernels[each.name].bias))
        },
        tuned,
        name,
    )
    return {
        each.name: Kernel(
            weight=np.array(tuned.get(f"{module}.weight", kernels[each.name].weight), order="C"),
            bias=np.array(tuned.get(f"{module}.bias", kernels[each.name].bias)),
        )
        for module, each in plan.modules()
    }


def _folded(convolution: Convolution, tensors: Mapping[str, Floats]) -> Kernel:
    """Computed in float64, rounded once."""
    gamma, beta, mean, variance = (tensors[name].astype(np.float64) for name in _norm_names(convolution))
    scale = gamma / np.sqrt(variance + _NORM_EPSILON)
    weight = tensors[f"{convolution.name}.weight"].astype(np.float64) * scale[:, None, None, None]
    return Kernel(weight=np.ascontiguousarray(weight, dtype=np.float32), bias=(beta - mean * scale).astype(np.float32))


def _norm_names(convolution: Convolution) -> tuple[str, ...]:
    return tuple(f"{convolution.norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
