"""The layers of a Core ML neural network, in torch on the CPU.

Written from the comments of Apple's NeuralNetwork.proto, which are the specification, not from the converter: so a
layer that the converter gets wrong shows. A builder takes a layer's parameters (a protobuf message) and gives the
function of its inputs; what it cannot do exactly it refuses when the graph is built, before anything runs.

Axes are counted from the end, as the specification does: channel -3, height -2, width -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (its name everywhere)
from torch import Tensor

from mlsession.coreml.interface import Message, unsupported
from mlsession.coreml.stored_weights import stored_weights
from mlsession.errors import DamagedData

Operator: TypeAlias = Callable[..., Tensor]
Builder: TypeAlias = Callable[[Message], Operator]


def weights(params: Message, *shape: int) -> Tensor:
    """A layer's numbers: float32 of `shape`, whatever they are stored in; the first axis is that of output channels."""
    values = stored_weights(params, shape[0], math.prod(shape))
    if values.size != math.prod(shape):
        raise DamagedData("Core ML model", f"{values.size} numbers where a layer needs {list(shape)}")
    return torch.from_numpy(values.reshape(shape))


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


def activation(params: Message) -> Operator:
    kind = params.WhichOneof("NonlinearityType")
    if kind == "linear":
        alpha, beta = params.linear.alpha, params.linear.beta
        return lambda x: alpha * x + beta
    if kind == "leakyReLU":
        slope = params.leakyReLU.alpha
        return lambda x: torch.where(x >= 0, x, slope * x)
    if kind == "thresholdedReLU":
        threshold = params.thresholdedReLU.alpha
        return lambda x: torch.where(x >= threshold, x, torch.zeros_like(x))
    if kind == "sigmoidHard":
        alpha, beta = params.sigmoidHard.alpha, params.sigmoidHard.beta
        return lambda x: (alpha * x + beta).clamp(0, 1)
    simple: dict[str | None, Operator] = {"ReLU": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    if kind not in simple:
        raise unsupported("activation", f"the activation {kind}")
    return simple[kind]


def unary(params: Message) -> Operator:
    # Zero means "not set" in this protobuf; the specification gives these defaults.
    scale, shift, epsilon, alpha = params.scale or 1.0, params.shift, params.epsilon or 1e-6, params.alpha
    functions: dict[int, Operator] = {
        params.SQRT: torch.sqrt,
        params.RSQRT: lambda x: torch.rsqrt(x + epsilon),
        params.INVERSE: lambda x: 1 / (x + epsilon),
        params.POWER: lambda x: x**alpha,
        params.EXP: torch.exp,
        params.LOG: torch.log,
        params.ABS: torch.abs,
        params.THRESHOLD: lambda x: x.clamp(min=alpha),
    }
    function = functions.get(params.type)
    if function is None:
        raise unsupported("unary", f"the function of number {params.type}")
    return lambda x: function(scale * x + shift)


def add(params: Message) -> Operator:
    return lambda x, *others: sum(others, x) if others else x + params.alpha


def multiply(params: Message) -> Operator:
    return lambda x, *others: math.prod(others, start=x) if others else x * params.alpha


def padding(params: Message) -> Operator:
    kind, border = params.WhichOneof("PaddingType"), _borders(params.paddingAmounts)
    if kind == "constant":
        return lambda x: F.pad(x, border, value=params.constant.value)
    modes = {"reflection": "reflect", "replication": "replicate"}
    if kind not in modes:
        raise unsupported("padding", f"the padding {kind}")
    return lambda x: F.pad(x, border, mode=modes[kind])


def slice_axis(params: Message) -> Operator:
    axis = {params.CHANNEL_AXIS: -3, params.HEIGHT_AXIS: -2, params.WIDTH_AXIS: -1}.get(params.axis)
    if axis is None:
        raise unsupported("slice", f"the axis of number {params.axis}")
    section = slice(params.startIndex, params.endIndex, params.stride)
    return lambda x: x[(..., section, *[slice(None)] * (-1 - axis))]


def load_constant(params: Message) -> Operator:
    constant = weights(params.data, *params.shape)
    return lambda: constant


def reduce_mean(params: Message) -> Operator:
    axes = None if params.reduceAll else tuple(params.axes)
    return lambda x: x.mean(axes, keepdim=params.keepDims)


def reduce_sum(params: Message) -> Operator:
    axes = None if params.reduceAll else tuple(params.axes)
    return lambda x: x.sum(axes, keepdim=params.keepDims)


def reduce_max(params: Message) -> Operator:
    axes = () if params.reduceAll else tuple(params.axes)
    return lambda x: x.amax(axes, keepdim=params.keepDims)


def batched_product(params: Message) -> Operator:
    if not params.weightMatrixFirstDimension:
        return lambda x, y: torch.matmul(x.mT if params.transposeA else x, y.mT if params.transposeB else y)
    first, second = params.weightMatrixFirstDimension, params.weightMatrixSecondDimension
    # The file holds the matrix column by column: its second axis comes first.
    matrix = weights(params.weights, second, first)
    bias = weights(params.bias, second) if params.hasBias else None
    return lambda x: F.linear(x, matrix, bias)


def gelu(params: Message) -> Operator:
    if params.mode == params.SIGMOID_APPROXIMATION:
        return lambda x: x * torch.sigmoid(1.702 * x)
    mode = "tanh" if params.mode == params.TANH_APPROXIMATION else "none"
    return lambda x: F.gelu(x, approximate=mode)


def concat(params: Message) -> Operator:
    if params.sequenceConcat:
        raise unsupported("concat", "sequences one after the other")
    return lambda *parts: torch.cat(parts, -3)


def inner_product(params: Message) -> Operator:
    weight = weights(params.weights, params.outputChannels, params.inputChannels)
    bias = weights(params.bias, params.outputChannels) if params.hasBias else None

    def product(x: Tensor) -> Tensor:
        if x.ndim > 3:
            raise unsupported("innerProduct", f"an inner product of {x.ndim} axes")
        return F.linear(x, weight, bias)

    return product


def batchnorm(params: Message) -> Operator:
    if params.computeMeanVar or params.instanceNormalization:
        raise unsupported("batchnorm", "a normalisation by the picture's own mean")
    gamma, beta, mean, variance = (
        weights(each, params.channels, 1, 1) for each in (params.gamma, params.beta, params.mean, params.variance)
    )
    scale = gamma / torch.sqrt(variance + (params.epsilon or 1e-5))
    return lambda x: (x - mean) * scale + beta


LAYERS: Mapping[str, Builder] = MappingProxyType(
    {
        "activation": activation,
        "add": add,
        "addBroadcastable": lambda _: torch.add,
        "batchedMatmul": batched_product,
        "batchnorm": batchnorm,
        "clip": lambda params: lambda x: x.clamp(params.minVal, params.maxVal),
        "concat": concat,
        "convolution": convolution,
        "divideBroadcastable": lambda _: torch.div,
        "gelu": gelu,
        "innerProduct": inner_product,
        "loadConstantND": load_constant,
        "multiply": multiply,
        "multiplyBroadcastable": lambda _: torch.mul,
        "padding": padding,
        "pooling": pooling,
        "reduceMax": reduce_max,
        "reduceMean": reduce_mean,
        "reduceSum": reduce_sum,
        "reshapeStatic": lambda params: lambda x: x.reshape(tuple(params.targetShape)),
        "slice": slice_axis,
        "softmaxND": lambda params: lambda x: torch.softmax(x, params.axis),
        "squeeze": lambda params: lambda x: x.squeeze(tuple(params.axes)),
        "subtractBroadcastable": lambda _: torch.sub,
        "transpose": lambda params: lambda x: x.permute(tuple(params.axes)),
        "unary": unary,
    }
)
"""Every layer that is executed, by its name in the protobuf."""
