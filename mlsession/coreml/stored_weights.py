"""The numbers of a neural network's layer, in any of the forms in which Apple's NeuralNetwork.proto stores them."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mlsession.coreml.interface import WHOLE, Message, unsupported
from mlsession.errors import DamagedData

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Whole: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def stored_weights(params: Message, channels: int, count: int) -> Floats:
    """`WeightParams` as float32 [count or fewer]; `count` are needed, in `channels` rows of output channels.

    Raises `DamagedData` where they do not fit together, `InvalidParameter` for a form that is not read.
    """
    if params.HasField("quantization"):
        return _expanded(params, channels, count)
    if params.rawValue:
        raise unsupported("weights", "weights of a type of their own")
    if params.float16Value:
        if len(params.float16Value) % 2:
            raise DamagedData(WHOLE, f"{len(params.float16Value)} bytes for weights of two bytes each")
        return np.frombuffer(params.float16Value, "<f2").astype(np.float32)
    return np.fromiter(params.floatValue, np.float32, len(params.floatValue))


def _expanded(params: Message, channels: int, count: int) -> Floats:
    how, bits = params.quantization, params.quantization.numberOfBits
    if not 1 <= bits <= 8:
        raise unsupported("weights", f"weights of {bits} bits")
    if len(params.rawValue) != -(-count * bits // 8):
        raise DamagedData(WHOLE, f"{len(params.rawValue)} bytes for {count} weights of {bits} bits")
    whole, kind = _unpacked(params.rawValue, count, bits), how.WhichOneof("QuantizationType")
    if kind == "lookupTableQuantization":
        table = np.array(how.lookupTableQuantization.floatValue, np.float32)
        if len(table) != 2**bits:
            raise DamagedData(WHOLE, f"a table of {len(table)} for weights of {bits} bits")
        return table[whole]
    if kind != "linearQuantization":
        raise unsupported("weights", "weights in fewer bits that do not say how")
    scale, bias = (np.array(each, np.float32) for each in (how.linearQuantization.scale, how.linearQuantization.bias))
    if len(scale) != len(bias) or len(scale) not in (1, channels):
        raise DamagedData(WHOLE, f"{len(scale)} scales and {len(bias)} biases for {channels} channels")
    if not len(scale) or count % len(scale):
        raise DamagedData(WHOLE, f"{count} weights for {len(scale)} scales")
    rows = scale[:, None] * whole.astype(np.float32).reshape(len(scale), -1) + bias[:, None]
    return rows.reshape(-1).astype(np.float32)


def _unpacked(data: bytes, count: int, bits: int) -> Whole:
    """Numbers that lie one after the other, each from its highest bit on."""
    each = np.unpackbits(np.frombuffer(data, np.uint8))[: count * bits].reshape(count, bits)
    return each.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1))


def weights(params: Message, *shape: int) -> Tensor:
    """A layer's numbers: float32 of `shape`, whatever they are stored in; the first axis is that of output channels."""
    values = stored_weights(params, shape[0], math.prod(shape))
    if values.size != math.prod(shape):
        raise DamagedData(WHOLE, f"{values.size} numbers where a layer needs {list(shape)}")
    return torch.from_numpy(values.reshape(shape))
