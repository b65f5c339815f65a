"""Layer normalisation in a Core ML neural network, said exactly.

coremltools writes the layer `mvn` for it, of which Apple's NeuralNetwork.proto says that its epsilon keeps from
dividing by zero, but not whether it is added to the variance, as torch does, or to its root. The layers that take its
place are defined to the last term, so what is proved here is what an app computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlsession.coreml.interface import Message

_PLANE = (-2, -1)
_VOLUME = (-3, -2, -1)


def without_mvn(network: Message) -> None:
    """Put other layers in the place of each `mvn` of a neural network, in its protobuf: (x - mean) / sqrt(var + eps).

    Names and values of all other layers stay as they are.
    """
    if all(layer.WhichOneof("layer") != "mvn" for layer in network.layers):
        return
    layers = [new for layer in network.layers for new in _replaced(layer)]
    del network.layers[:]
    network.layers.extend(layers)


def _replaced(layer: Message) -> Iterator[Message]:
    if layer.WhichOneof("layer") != "mvn":
        yield layer
        return
    params, source, output = layer.mvn, layer.input[0], layer.output[0]
    axes = _VOLUME if params.acrossChannels else _PLANE
    centred = f"{output}_centred" if params.normalizeVariance else output
    mean = f"{output}_mean"
    yield _mean(layer, source, mean, axes)
    difference = _new(layer, "difference", (source, mean), centred)
    difference.subtractBroadcastable.SetInParent()
    yield difference
    if not params.normalizeVariance:
        return
    squared, variance, inverse = (f"{output}_{word}" for word in ("squared", "variance", "inverse"))
    square = _new(layer, "square", (centred,), squared)
    square.unary.type, square.unary.alpha = square.unary.POWER, 2
    yield square
    yield _mean(layer, squared, variance, axes)
    root = _new(layer, "inverse", (variance,), inverse)
    root.unary.type, root.unary.epsilon = root.unary.RSQRT, params.epsilon
    yield root
    product = _new(layer, "product", (centred, inverse), output)
    product.multiplyBroadcastable.SetInParent()
    yield product


def _mean(layer: Message, source: str, output: str, axes: Sequence[int]) -> Message:
    made = _new(layer, output, (source,), output)
    made.reduceMean.axes.extend(axes)
    made.reduceMean.keepDims = True
    return made


def _new(layer: Message, name: str, inputs: Sequence[str], output: str) -> Message:
    """A layer without parameters, of a name that no other one of the network has."""
    return type(layer)(name=f"{layer.name}/{name}", input=inputs, output=[output])
