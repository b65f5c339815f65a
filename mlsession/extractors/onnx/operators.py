"""The operators of ONNX that the networks of pictures are made of, in torch.

Written from ONNX's own description of its operators (versions 13 to 22). A function has the inputs of its operator in
their order, and its attributes by their names and with the defaults given there. Whole numbers are tuples, or ints,
and a floating-point number without axes is Python's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (its name everywhere)
from torch import Tensor

from mlsession.extractors.onnx.shapes import (
    Whole,
    cast_to,
    concat,
    constant,
    cut,
    gather,
    refuse,
    reshape,
    split,
    squeeze,
    unsqueeze,
)

Operator: TypeAlias = Callable[..., Any]
"""Gives one value, or a list of several outputs."""


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Whole = (1, 1),
    group: int = 1,
    kernel_shape: Whole = (),
    pads: Whole = (0, 0, 0, 0),
    strides: Whole = (1, 1),
) -> Tensor:
    reach = tuple((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True))
    padded = F.pad(x, _padding("Conv", x, reach, strides, pads, auto_pad))
    return F.conv2d(padded, weight, bias, strides, 0, dilations, group)


def max_pool(
    x: Tensor,
    *,
    kernel_shape: Whole,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Whole = (1, 1),
    pads: Whole = (0, 0, 0, 0),
    storage_order: int = 0,
    strides: Whole = (1, 1),
) -> Tensor:
    if ceil_mode:
        _even("MaxPool", pads, "rounding up")
        return F.max_pool2d(x, kernel_shape, strides, pads[:2], dilations, ceil_mode=True)
    reach = tuple((size - 1) * step + 1 for size, step in zip(kernel_shape, dilations, strict=True))
    padded = F.pad(x, _padding("MaxPool", x, reach, strides, pads, auto_pad), value=-math.inf)
    return F.max_pool2d(padded, kernel_shape, strides, 0, dilations)


def average_pool(
    x: Tensor,
    *,
    kernel_shape: Whole,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Whole = (1, 1),
    pads: Whole = (0, 0, 0, 0),
    strides: Whole = (1, 1),
) -> Tensor:
    refuse("AveragePool", bool(ceil_mode) or auto_pad != "NOTSET" or set(dilations) != {1}, "in this form")
    _even("AveragePool", pads, "a mean")
    return F.avg_pool2d(x, kernel_shape, strides, pads[:2], count_include_pad=bool(count_include_pad))


def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensor:
    refuse("BatchNormalization", bool(training_mode), "in training")
    return F.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    over = tuple(x.shape[axis % x.ndim :])
    return F.layer_norm(x, over, scale.expand(over), None if bias is None else bias.expand(over), epsilon)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803  (ONNX's names)
    transB: int = 0,  # noqa: N803
) -> Tensor:
    product = torch.matmul(a.mT if transA else a, b.mT if transB else b)
    scaled = product if alpha == 1.0 else alpha * product
    return scaled if c is None else scaled + (c if beta == 1.0 else beta * c)


def clip(x: Tensor, least: Any = None, most: Any = None) -> Tensor:
    return x if least is None and most is None else x.clamp(least, most)


def pad(x: Tensor, pads: Whole, value: Any = None, axes: Whole | None = None, *, mode: str = "constant") -> Tensor:
    refuse("Pad", mode not in ("constant", "reflect", "edge") or axes is not None, f"of the mode {mode}")
    half = len(pads) // 2
    pairs = [(pads[axis], pads[half + axis]) for axis in range(half)]
    around = [amount for pair in reversed(pairs) for amount in pair]
    if mode == "constant":
        return F.pad(x, around, value=0.0 if value is None else value)
    refuse("Pad", any(around[4:]), "around the channels")
    return F.pad(x, around[:4], mode="reflect" if mode == "reflect" else "replicate")


def _reduced(by: Callable[[Tensor, Any, bool], Tensor]) -> Operator:
    def reduce(
        x: Tensor,
        over: Whole | None = None,
        *,
        axes: Whole | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        chosen = over if over is not None else axes
        if not chosen and noop_with_empty_axes:
            return x
        return by(x, tuple(chosen) if chosen else tuple(range(x.ndim)), bool(keepdims))

    return reduce


def _padding(operator: str, x: Tensor, reach: Whole, strides: Whole, pads: Whole, auto_pad: str) -> tuple[int, ...]:
    """In the order of `F.pad`."""
    refuse(operator, x.ndim != 4, f"over {x.ndim - 2} axes")
    if auto_pad in ("NOTSET", "VALID", ""):
        top, left, bottom, right = (0, 0, 0, 0) if auto_pad == "VALID" else pads
        return (left, right, top, bottom)
    found: list[int] = []
    for length, size, step in zip(x.shape[:1:-1], reach[::-1], strides[::-1], strict=True):
        whole = max(0, (-(-length // step) - 1) * step + size - length)
        small, large = whole // 2, whole - whole // 2
        found += [large, small] if auto_pad == "SAME_LOWER" else [small, large]
    return tuple(found)


def _even(operator: str, pads: Whole, what: str) -> None:
    refuse(operator, pads[:2] != pads[2:], f"of {what} with uneven padding")


def _binary(on_tensors: Callable[[Any, Any], Any]) -> Operator:
    def both(x: Any, y: Any) -> Any:
        if isinstance(x, tuple) and isinstance(y, tuple):
            return tuple(on_tensors(one, other) for one, other in zip(x, y, strict=True))
        return on_tensors(x, y)

    return both


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "Abs": torch.abs,
        "Add": _binary(lambda x, y: x + y),
        "AveragePool": average_pool,
        "BatchNormalization": batch_normalization,
        "Cast": cast_to,
        "Clip": clip,
        "Concat": concat,
        "Constant": constant,
        "Conv": conv,
        "Div": lambda x, y: x / y if isinstance(x, Tensor) or isinstance(y, Tensor) else x // y,
        "Dropout": lambda x, ratio=None, training=None, seed=0: x,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Expand": lambda x, shape: x.expand(torch.broadcast_shapes(x.shape, shape)),  # type: ignore[no-untyped-call]
        "Flatten": lambda x, axis=1: x.flatten(axis) if axis == 1 else x.reshape(math.prod(x.shape[:axis]), -1),
        "Gather": gather,
        "Gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
        "Gemm": gemm,
        "GlobalAveragePool": lambda x: x.mean((-2, -1), keepdim=True),
        "GlobalMaxPool": lambda x: x.amax((-2, -1), keepdim=True),
        "HardSigmoid": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
        "HardSwish": F.hardswish,
        "Identity": lambda x: x,
        "LayerNormalization": layer_normalization,
        "LeakyRelu": lambda x, alpha=0.01: F.leaky_relu(x, alpha),
        "Log": torch.log,
        "MatMul": torch.matmul,
        "MaxPool": max_pool,
        "Mul": _binary(lambda x, y: x * y),
        "Neg": torch.neg,
        "Pad": pad,
        "Pow": torch.pow,
        "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
        "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
        "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
        "Relu": torch.relu,
        "Reshape": reshape,
        "Shape": lambda x, start=0, end=None: tuple(x.shape)[start:end],
        "Sigmoid": torch.sigmoid,
        "Slice": cut,
        "Softmax": lambda x, axis=-1: torch.softmax(x, axis),
        "Split": split,
        "Sqrt": torch.sqrt,
        "Squeeze": squeeze,
        "Sub": _binary(lambda x, y: x - y),
        "Tanh": torch.tanh,
        "Transpose": lambda x, perm=None: x.permute(tuple(range(x.ndim))[::-1] if perm is None else perm),
        "Unsqueeze": unsqueeze,
    }
)
"""Every operator that is converted, by its name in ONNX."""
