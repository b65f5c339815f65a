"""The layers of a Core ML neural network that look through windows: convolution, pooling, and edges around pictures.

See `layers` for where their meaning is from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (its name everywhere)
from torch import Tensor

from mlsession.coreml.interface import Message, unsupported
from mlsession.coreml.stored_weights import weights
from mlsession.errors import DamagedData

Operator: TypeAlias = Callable[..., Tensor | tuple[Tensor, ...]]
"""Gives a tensor, or a tuple of them for a layer of several outputs."""


def _pair(values: Sequence[Any], default: int = 0) -> tuple[Any, Any]:
    """[H, W], or twice the default if nothing is written."""
    if len(values) not in (0, 2):
        raise DamagedData("Core ML model", f"{len(values)} numbers where a layer needs height and width")
    first, second = values or (default, default)
    return first, second


def _borders(amounts: Message) -> tuple[int, int, int, int]:
    """[H, W] edge sizes in the order of `F.pad`: left, right, top, bottom."""
    height, width = _pair([(each.startEdgeSize, each.endEdgeSize) for each in amounts.borderAmounts])
    return (*(width or (0, 0)), *(height or (0, 0)))


def _same_border(size: int, kernel: int, stride: int, top_left_heavy: bool) -> tuple[int, int]:
    total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    small, large = total // 2, total - total // 2
    return (large, small) if top_left_heavy else (small, large)


def _window_padding(
    layer: str, kind: str | None, params: Message, kernel: tuple[int, int], stride: tuple[int, int]
) -> Callable[[Tensor], tuple[int, int, int, int]]:
    """The padding of a convolution or pooling as a function of its input."""
    if kind == "valid":
        fixed = _borders(params.valid.paddingAmounts)
        return lambda _: fixed
    if kind == "same":
        heavy = params.same.asymmetryMode == params.same.TOP_LEFT_HEAVY

        def same(x: Tensor) -> tuple[int, int, int, int]:
            width = _same_border(x.shape[-1], kernel[1], stride[1], heavy)
            return (*width, *_same_border(x.shape[-2], kernel[0], stride[0], heavy))

        return same
    raise unsupported(layer, f"its padding {kind!r}")


def convolution(params: Message) -> Operator:
    if params.isDeconvolution:
        raise unsupported("convolution", "a deconvolution")
    kernel, stride, groups = _pair(params.kernelSize, 3), _pair(params.stride, 1), params.nGroups or 1
    dilation = _pair(params.dilationFactor, 1)
    reach = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
    padding = _window_padding("convolution", params.WhichOneof("ConvolutionPaddingType"), params, reach, stride)
    weight = weights(params.weights, params.outputChannels, params.kernelChannels, *kernel)
    bias = weights(params.bias, params.outputChannels) if params.hasBias else None
    return lambda x: F.conv2d(F.pad(x, padding(x)), weight, bias, stride=stride, dilation=dilation, groups=groups)


def pooling(params: Message) -> Operator:
    average = params.type == params.AVERAGE
    if not average and params.type != params.MAX:
        raise unsupported("pooling", "L2 pooling")
    if params.globalPooling:
        return lambda x: x.mean((-2, -1), keepdim=True) if average else x.amax((-2, -1), keepdim=True)
    kernel, stride = _pair(params.kernelSize, 3), _pair(params.stride, 1)
    if params.WhichOneof("PoolingPaddingType") == "includeLastPixel":
        return _pooling_rounded_up(params, kernel, stride)
    padding = _window_padding("pooling", params.WhichOneof("PoolingPaddingType"), params, kernel, stride)
    if not average:
        return lambda x: F.max_pool2d(F.pad(x, padding(x), value=-math.inf), kernel, stride)

    def mean(x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(F.pad(x, padding(x)), kernel, stride)
        if params.avgPoolExcludePadding:
            pooled = pooled / F.avg_pool2d(F.pad(torch.ones_like(x), padding(x)), kernel, stride)
        return pooled

    return mean


def _pooling_rounded_up(params: Message, kernel: tuple[int, int], stride: tuple[int, int]) -> Operator:
    """Windows that may reach over the last edge, where the size would otherwise leave pixels out."""
    border = _pair(params.includeLastPixel.paddingAmounts)
    if params.type == params.MAX:
        return lambda x: F.max_pool2d(x, kernel, stride, border, ceil_mode=True)

    def mean(x: Tensor) -> Tensor:
        if any((x.shape[axis - 2] + 2 * border[axis] - kernel[axis]) % stride[axis] for axis in (0, 1)):
            raise unsupported("pooling", "a mean over windows that reach over the edge")
        return F.avg_pool2d(x, kernel, stride, border, count_include_pad=not params.avgPoolExcludePadding)

    return mean


def padding(params: Message) -> Operator:
    kind, border = params.WhichOneof("PaddingType"), _borders(params.paddingAmounts)
    if kind == "constant":
        return lambda x: F.pad(x, border, value=params.constant.value)
    modes = {"reflection": "reflect", "replication": "replicate"}
    if kind not in modes:
        raise unsupported("padding", f"the padding {kind}")
    return lambda x: F.pad(x, border, mode=modes[kind])
