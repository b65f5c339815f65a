"""Run a written `.mlmodel` without Core ML: parse its bytes, execute its graph, one picture at a time.

The oracle for exports on machines that are not Macs. It reads nothing but the file; a layer it does not know is an
error, never skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlsession.coreml.answers import Probabilities, answers
from mlsession.coreml.interface import (
    WHOLE,
    Images,
    Message,
    channel_order,
    channels_first,
    parse_model,
    picture_side,
    unsupported,
)
from mlsession.coreml.layers import LAYERS
from mlsession.coreml.windows import Operator
from mlsession.errors import DamagedData, InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMLContents:
    """What an `.mlmodel` classifier says about itself."""

    spec_version: int
    labels: tuple[str, ...]
    """The class labels, in the order of its probabilities."""
    side: int
    """Height and width in pixels of the picture it takes."""
    description: Message
    """The protobuf `ModelDescription`: inputs, outputs and metadata."""
    network: Message
    """The protobuf `NeuralNetworkClassifier`."""


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    operator: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done_with: tuple[str, ...]
    """Values that no later layer reads."""


def read_mlmodel(data: bytes) -> CoreMLContents:
    """Parse an `.mlmodel` file: a neural network classifier with text labels and one square picture as its input.

    Raises `DamagedData` if the bytes are no Core ML model, `InvalidParameter` if it is one of another kind.
    """
    spec = parse_model(data, "neuralNetworkClassifier")
    network, side = spec.neuralNetworkClassifier, picture_side(spec.description)
    if network.WhichOneof("ClassLabels") != "stringClassLabels":
        raise unsupported("labels", "a classifier whose labels are not text")
    if network.imageInputShapeMapping != 1 or network.arrayInputShapeMapping != 1:
        raise unsupported("input", "a network of tensors of rank 5, older than specification 4")
    return CoreMLContents(
        spec_version=spec.specificationVersion,
        labels=tuple(network.stringClassLabels.vector),
        side=side,
        description=spec.description,
        network=network,
    )


def evaluate_mlmodel(data: bytes, images: Images) -> tuple[list[str], Probabilities]:
    """Run an `.mlmodel` file on pictures: uint8 [N, side, side, 3] RGB -> N labels, probabilities float32 [N, K].

    Everything that Core ML would do is done from the file: colour order, scale and bias of the input, each layer, the
    choice of the label. Raises `DamagedData` for bytes that hold no whole model, `InvalidParameter` for pictures of
    another shape and for a layer that mlsession cannot run (`mlsession.coreml.layers.LAYERS` has those it can).
    """
    contents = read_mlmodel(data)
    source, wanted = contents.description.input[0].name, contents.network.labelProbabilityLayerName
    graph = _graph(contents.network.layers, source, wanted)  # once for all pictures
    return answers(
        contents.labels, contents.side, images, lambda image: _run(graph, source, wanted, _pixels(contents, image))
    )


def run_layers(layers: Sequence[Message], source: str, wanted: str, value: Tensor) -> Tensor:
    """Run `NeuralNetworkLayer` messages in order from the value named `source` to the one named `wanted`.

    Raises as `evaluate_mlmodel` does.
    """
    with torch.inference_mode():
        return _run(_graph(layers, source, wanted), source, wanted, value)


def _pixels(contents: CoreMLContents, image: Images) -> Tensor:
    """uint8 [side, side, 3] -> float32 [1, 3, side, side], as the network's first layer gets it."""
    name, order = contents.description.input[0].name, channel_order(contents.description)
    pixels = channels_first(image, order)
    for step in contents.network.preprocessing:
        if step.featureName not in ("", name):
            raise DamagedData(WHOLE, f"it preprocesses {step.featureName!r}, which is not its input")
        if step.WhichOneof("preprocessor") != "scaler":
            raise unsupported("preprocessing", "a mean image")
        red, green, blue = step.scaler.redBias, step.scaler.greenBias, step.scaler.blueBias
        bias = (red, green, blue) if order == "RGB" else (blue, green, red)
        pixels = step.scaler.channelScale * pixels + torch.tensor(bias, dtype=torch.float32).view(3, 1, 1)
    return pixels


def _graph(layers: Sequence[Message], source: str, wanted: str) -> tuple[_Node, ...]:
    """Every layer as a function, in order; refuses what cannot be run before anything runs."""
    last_reader = {name: index for index, layer in enumerate(layers) for name in layer.input if name != wanted}
    known, nodes = {source}, []
    for index, layer in enumerate(layers):
        kind = layer.WhichOneof("layer")
        if kind not in LAYERS:
            raise unsupported(f"{kind} {layer.name!r}", f"this layer (it runs: {', '.join(LAYERS)})")
        if not layer.output or not known.issuperset(layer.input):
            raise DamagedData(WHOLE, f"the layer {layer.name!r} reads what no layer before it gives")
        known.update(layer.output)
        done_with = tuple(name for name in set(layer.input) if last_reader.get(name) == index)
        operator = LAYERS[kind](getattr(layer, kind))
        nodes.append(_Node(layer.name, operator, tuple(layer.input), tuple(layer.output), done_with))
    if wanted not in known:
        raise DamagedData(WHOLE, f"no layer gives the probabilities {wanted!r}")
    return tuple(nodes)


def _run(graph: Sequence[_Node], source: str, wanted: str, pixels: Tensor) -> Tensor:
    values = {source: pixels}
    for node in graph:
        try:
            found = node.operator(*(values[name] for name in node.inputs))
            values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))
        except InvalidParameter:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise DamagedData(WHOLE, f"the layer {node.name!r} does not fit its input: {error}") from error
        for name in node.done_with:
            del values[name]
    return values[wanted]


def compiled_layers(layers: Sequence[Message], source: str, wanted: str) -> Callable[[Tensor], Tensor]:
    """`run_layers` as a function of the value, for many of them: what can be refused is refused here."""
    graph = _graph(layers, source, wanted)
    return lambda value: _run(graph, source, wanted, value)
