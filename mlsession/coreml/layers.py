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
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (its name everywhere)
from torch import Tensor

from mlsession.coreml.interface import WHOLE, Message, unsupported
from mlsession.coreml.operations import in_turns
from mlsession.coreml.stored_weights import weights
from mlsession.coreml.windows import Operator, convolution, padding, pooling
from mlsession.errors import DamagedData

Builder: TypeAlias = Callable[[Message], Operator]


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


def concat_any(params: Message) -> Operator:
    if params.interleave:
        return lambda *parts: in_turns(parts, params.axis)
    return lambda *parts: torch.cat(parts, params.axis)


def split(params: Message) -> Operator:
    sizes, number, axis = list(params.splitSizes), params.numSplits, params.axis

    def parts(x: Tensor) -> tuple[Tensor, ...]:
        equal = [x.shape[axis] // number] * number if number else []
        return torch.split(x, sizes or equal, axis)  # Refuses what does not add up to the whole.

    return parts


def slice_static(params: Message) -> Operator:
    sections: list[slice | int] = []
    for axis, stride in enumerate(params.strides):
        if stride < 1:
            raise unsupported("sliceStatic", "a slice that goes backwards")
        begin = None if params.beginMasks[axis] else params.beginIds[axis]
        if axis < len(params.squeezeMasks) and params.squeezeMasks[axis]:
            sections.append(begin or 0)
        else:
            sections.append(slice(begin, None if params.endMasks[axis] else params.endIds[axis], stride))
    return lambda x: x[tuple(sections)]


def scale(params: Message) -> Operator:
    factor = weights(params.scale, *_over_channels(params.shapeScale))
    if not params.hasBias:
        return lambda x: x * factor
    bias = weights(params.bias, *_over_channels(params.shapeBias))
    return lambda x: x * factor + bias


def _over_channels(shape: Sequence[int]) -> tuple[int, ...]:
    """One number for all, one for each channel, or one for each place of channels, height and width."""
    if len(shape) not in (1, 3):
        raise DamagedData(WHOLE, f"a scale of {len(shape)} axes")
    return tuple(shape) if len(shape) == 3 else (shape[0], 1, 1)


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
        "concatND": concat_any,
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
        "scale": scale,
        "slice": slice_axis,
        "sliceStatic": slice_static,
        "softmaxND": lambda params: lambda x: torch.softmax(x, params.axis),
        "splitND": split,
        "squeeze": lambda params: lambda x: x.squeeze(tuple(params.axes)),
        "subtractBroadcastable": lambda _: torch.sub,
        "transpose": lambda params: lambda x: x.permute(tuple(params.axes)),
        "unary": unary,
    }
)
"""Every layer that is executed, by its name in the protobuf.

Not `mvn`: the specification does not say whether its epsilon is added to the variance or to its root. Our exports have
other layers in its place, see `export.normalisation`.
"""
