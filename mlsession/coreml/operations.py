"""The operations of a Core ML program (MIL), in torch on the CPU.

Written from the published description of the operations of iOS 15 (coremltools' reference of `mil.ops.defs.iOS15`),
not from what the converter does. A function has the inputs of its operation, by their names there and with the
defaults given there; so what it does not take is refused when the graph is built. Tensors are float32; a constant of
no axes is a Python number, truth or text, and constants of whole numbers are tuples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (its name everywhere)
from torch import Tensor

from mlsession.coreml.interface import PROGRAM_CURE, unsupported

Operation: TypeAlias = Callable[..., Any]
"""Gives a tensor, or a tuple of them for an operation of several outputs."""
Numbers: TypeAlias = tuple[int, ...]
Operand: TypeAlias = Tensor | float


def _borders(operation: str, pad_type: str, pad: Numbers | None, reach: Numbers, strides: Numbers) -> Numbers:
    """What to put around height and width: before and after each. `reach` is the size of the window."""
    if pad_type == "valid":
        return (0, 0, 0, 0)
    if pad_type == "custom" and pad is not None and len(pad) == 4:
        return pad
    whole = [size - 1 for size in reach]
    # Descriptions differ on where an odd row goes, and on the amount at other strides.
    if pad_type in ("same", "same_lower") and set(strides) == {1} and not any(amount % 2 for amount in whole):
        return tuple(amount // 2 for amount in whole for _ in range(2))
    raise unsupported(operation, f"its padding {pad_type!r}", PROGRAM_CURE)


def _padded(x: Tensor, borders: Numbers, value: float = 0.0) -> Tensor:
    """`x` with `borders` around its last axes: before and after each, the last axis last, as MIL counts them."""
    pairs = list(zip(borders[::2], borders[1::2], strict=True))
    return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value) if any(borders) else x


def conv(
    x: Tensor,
    weight: Tensor,
    pad_type: str,
    strides: Numbers | None = None,
    pad: Numbers | None = None,
    dilations: Numbers | None = None,
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    if x.ndim != 4:
        raise unsupported("conv", f"a convolution over {x.ndim - 2} axes", PROGRAM_CURE)
    strides, dilations = strides or (1, 1), dilations or (1, 1)
    reach = tuple((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True))
    borders = _borders("conv", pad_type, pad, reach, strides)
    return F.conv2d(_padded(x, borders), weight, bias, stride=strides, dilation=dilations, groups=groups)


def max_pool(
    x: Tensor,
    kernel_sizes: Numbers,
    pad_type: str,
    strides: Numbers | None = None,
    pad: Numbers | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    strides = strides or (1, 1)
    borders = _borders("max_pool", pad_type, pad, kernel_sizes, strides)
    if not ceil_mode:
        return F.max_pool2d(_padded(x, borders, -math.inf), kernel_sizes, strides)
    if borders[::2] != borders[1::2]:
        raise unsupported("max_pool", "uneven padding with rounding up", PROGRAM_CURE)
    return F.max_pool2d(x, kernel_sizes, strides, borders[::2], ceil_mode=True)


def avg_pool(
    x: Tensor,
    kernel_sizes: Numbers,
    pad_type: str,
    strides: Numbers | None = None,
    pad: Numbers | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    strides = strides or (1, 1)
    borders = _borders("avg_pool", pad_type, pad, kernel_sizes, strides)
    padded = _padded(x, borders)
    if ceil_mode and any(
        (length - size) % step for length, size, step in zip(padded.shape[2:], kernel_sizes, strides, strict=True)
    ):
        raise unsupported("avg_pool", "a mean over windows that reach over the edge", PROGRAM_CURE)
    pooled = F.avg_pool2d(padded, kernel_sizes, strides)
    if exclude_padding_from_average:
        pooled = pooled / F.avg_pool2d(_padded(torch.ones_like(x), borders), kernel_sizes, strides)
    return pooled


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    return torch.matmul(x.mT if transpose_x else x, y.mT if transpose_y else y)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


def layer_norm(
    x: Tensor,
    axes: Numbers | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    over = tuple(range(x.ndim)) if axes is None else tuple(axis % x.ndim for axis in axes)
    if over != tuple(range(x.ndim - len(over), x.ndim)):
        raise unsupported("layer_norm", "a normalisation over other than the last axes", PROGRAM_CURE)
    centred = x - x.mean(over, keepdim=True)
    normal = centred / torch.sqrt((centred * centred).mean(over, keepdim=True) + epsilon)
    scaled = normal if gamma is None else normal * gamma
    return scaled if beta is None else scaled + beta


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    modes = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}
    if mode not in modes:
        raise unsupported("gelu", f"its mode {mode!r}", PROGRAM_CURE)
    return F.gelu(x, approximate=modes[mode])


def pad(x: Tensor, pad: Numbers, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    if mode == "constant":
        return _padded(x, pad, constant_val)
    modes = {"reflect": "reflect", "replicate": "replicate"}
    if mode not in modes or any(pad[:-4]):
        raise unsupported("pad", f"its mode {mode!r} around these axes", PROGRAM_CURE)
    return F.pad(x, (pad[-2], pad[-1], *pad[-4:-2]), mode=modes[mode])


def slice_by_index(
    x: Tensor,
    begin: Numbers,
    end: Numbers,
    stride: Numbers | None = None,
    begin_mask: tuple[bool, ...] | None = None,
    end_mask: tuple[bool, ...] | None = None,
    squeeze_mask: tuple[bool, ...] | None = None,
) -> Tensor:
    none = (False,) * x.ndim
    steps, from_start, to_end, single = stride or (1,) * x.ndim, begin_mask or none, end_mask or none, squeeze_mask
    if min(steps) < 1:
        raise unsupported("slice_by_index", "a slice that runs backwards", PROGRAM_CURE)
    sections: list[slice | int] = []
    for axis in range(x.ndim):
        if single and single[axis]:
            sections.append(begin[axis])
        else:
            start = None if from_start[axis] else begin[axis]
            sections.append(slice(start, None if to_end[axis] else end[axis], steps[axis]))
    return x[tuple(sections)]


def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Numbers | None = None
) -> tuple[Tensor, ...]:
    if split_sizes is not None:
        return tuple(torch.split(x, list(split_sizes), axis))
    return tuple(torch.tensor_split(x, num_splits or 1, axis))


def concat(values: Tensor | tuple[Tensor, ...], axis: int, interleave: bool = False) -> Tensor:
    parts = (values,) if isinstance(values, Tensor) else values
    return in_turns(parts, axis) if interleave else torch.cat(parts, axis)


def in_turns(parts: tuple[Tensor, ...], axis: int) -> Tensor:
    """Tensors of one shape joined along an axis: the first of each, the second of each, and so on."""
    axis %= parts[0].ndim
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)


def reshape(x: Tensor, shape: Numbers) -> Tensor:
    if 0 in shape:
        raise unsupported("reshape", "a shape with zeros", PROGRAM_CURE)
    return x.reshape(shape)


def expand_dims(x: Tensor, axes: Numbers) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def cast(x: Tensor, dtype: str) -> Tensor:
    # Rounding to half precision is by the type that the output has, as for every operation.
    if dtype not in ("fp16", "fp32"):
        raise unsupported("cast", f"numbers as {dtype}", PROGRAM_CURE)
    return x


def _mean(x: Tensor, axes: Numbers | None = None, keep_dims: bool = False) -> Tensor:
    return x.mean(axes, keepdim=keep_dims)


def _sum(x: Tensor, axes: Numbers | None = None, keep_dims: bool = False) -> Tensor:
    return x.sum(axes, keepdim=keep_dims)


def _maximum(x: Tensor, axes: Numbers | None = None, keep_dims: bool = False) -> Tensor:
    return x.amax(tuple(range(x.ndim)) if axes is None else axes, keepdim=keep_dims)


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "abs": lambda x: torch.abs(x),
        "add": lambda x, y: x + y,
        "avg_pool": avg_pool,
        "batch_norm": batch_norm,
        "cast": cast,
        "clip": lambda x, alpha, beta: x.clamp(alpha, beta),
        "concat": concat,
        "conv": conv,
        "exp": lambda x: torch.exp(x),
        "expand_dims": expand_dims,
        "gelu": gelu,
        "layer_norm": layer_norm,
        "leaky_relu": lambda x, alpha=0.01: torch.where(x >= 0, x, alpha * x),
        "linear": linear,
        "log": lambda x, epsilon=1e-45: torch.log(x + epsilon),
        "matmul": matmul,
        "max_pool": max_pool,
        "mul": lambda x, y: x * y,
        "pad": pad,
        "pow": lambda x, y: x**y,
        "real_div": lambda x, y: x / y,
        "reduce_max": _maximum,
        "reduce_mean": _mean,
        "reduce_sum": _sum,
        "relu": lambda x: torch.relu(x),
        "relu6": lambda x: x.clamp(0, 6),
        "reshape": reshape,
        "rsqrt": lambda x, epsilon=1e-12: torch.rsqrt(x + epsilon),
        "sigmoid": lambda x: torch.sigmoid(x),
        "sigmoid_hard": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
        "silu": lambda x: x * torch.sigmoid(x),
        "slice_by_index": slice_by_index,
        "softmax": lambda x, axis=-1: torch.softmax(x, axis),
        "split": split,
        "sqrt": lambda x: torch.sqrt(x),
        "squeeze": lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(axes),
        "sub": lambda x, y: x - y,
        "tanh": lambda x: torch.tanh(x),
        "thresholded_relu": lambda x, alpha=1.0: torch.where(x >= alpha, x, torch.zeros_like(x)),
        "transpose": lambda x, perm: x.permute(perm),
    }
)
"""Every operation that is executed, by its name in MIL."""
