"""A converted Core ML model with its weights in fewer bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsession.coreml.interface import Message
from mlsession.export.compression import FEWEST_NUMBERS, Compression
from mlsession.export.quantize import Floats, Places, by_channel, palette

_LAYERS = ("convolution", "innerProduct", "batchedMatmul")
"""The layers of a neural network that hold most of its weights."""


def compressed_program(coremltools: Any, model: Any, compression: Compression) -> Any:
    """An ML program (coremltools' `MLModel`, for iOS 16 or later) with its weights as int8 or palettes."""
    optimize = coremltools.optimize.coreml

    def by_table(weights: Floats) -> tuple[Floats, Places]:
        table, places = palette(np.asarray(weights, np.float32), compression.bits)
        return table, places.reshape(-1)

    if compression.method == "int8":
        config = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=FEWEST_NUMBERS
        )
        change = optimize.linear_quantize_weights
    else:
        # Its own k-means takes a package that does not come with it, and other rounding with every version of that.
        config = optimize.OpPalettizerConfig(mode="custom", lut_function=by_table, weight_threshold=FEWEST_NUMBERS)
        change = optimize.palettize_weights
    return change(model, optimize.OptimizationConfig(global_config=config))


def compress_layers(network: Message, compression: Compression) -> None:
    """Put the weights of a neural network's layers into fewer bits, in its protobuf.

    As Apple's NeuralNetwork.proto says: half precision, or whole numbers with a scale and a bias for each output
    channel, or places in a table, packed from the highest bit on.
    """
    for layer in network.layers:
        kind = layer.WhichOneof("layer")
        params = getattr(layer, kind)
        for name in ("weights", "bias") if kind in _LAYERS else ():
            if len(getattr(params, name).floatValue) >= _fewest(compression):
                _compress(getattr(params, name), _channels(kind, params, name), compression)


def _fewest(compression: Compression) -> int:
    return 1 if compression.method == "float16" else FEWEST_NUMBERS


def _channels(kind: str, params: Message, name: str) -> int:
    """Into how many rows weights fall that get a scale of their own."""
    if name == "bias":
        return 1
    return int(params.weightMatrixSecondDimension if kind == "batchedMatmul" else params.outputChannels)


def _compress(weights: Message, channels: int, compression: Compression) -> None:
    values = np.fromiter(weights.floatValue, np.float32, len(weights.floatValue))
    weights.ClearField("floatValue")
    if compression.method == "float16":
        weights.float16Value = values.astype("<f2").tobytes()
        return
    weights.quantization.numberOfBits = compression.bits
    if compression.method == "int8":
        whole, scale, bias = by_channel(values.reshape(channels, -1))
        weights.rawValue = whole.tobytes()
        weights.quantization.linearQuantization.scale.extend(scale.tolist())
        weights.quantization.linearQuantization.bias.extend(bias.tolist())
    else:
        table, places = palette(values, compression.bits)
        weights.rawValue = packed(places, compression.bits)
        weights.quantization.lookupTableQuantization.floatValue.extend(table.tolist())


def packed(places: Places, bits: int) -> bytes:
    """Whole numbers below 2^bits one after the other, each from its highest bit on, zeros at the end."""
    return np.packbits(np.unpackbits(places.reshape(-1, 1), axis=1)[:, 8 - bits :].reshape(-1)).tobytes()
