"""The interface of a Core ML image classifier, read from its specification: labels out, one square picture in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mlsession.coreml.silence import coremltools_module
from mlsession.errors import DamagedData, InvalidParameter

Message: TypeAlias = Any
"""A protobuf message: its classes are made at run time, so there is no static type."""
Images: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

WHOLE = "Core ML model"
"""What messages call a model that is damaged."""

NETWORK_CURE = "export it as .mlpackage or .safetensors instead, or use Core ML itself"
PROGRAM_CURE = "export it as .safetensors instead, or use Core ML itself"
"""What to do about a neural network, or an ML program, that cannot be run here."""

_KINDS: Mapping[str, str] = MappingProxyType(
    {"neuralNetworkClassifier": "a neural network (.mlmodel)", "mlProgram": "an ML program (.mlpackage)"}
)


class NotRunHere(InvalidParameter):
    """A part of a model, or a form of one, that is not executed here; Core ML itself may run it."""


def unsupported(part: str, what: str, cure: str = NETWORK_CURE) -> NotRunHere:
    """The error for a part of a model, or a form of one, that is not executed here."""
    return NotRunHere("Core ML layer", part, f"mlsession cannot run {what}; {cure}")


def parse_model(data: bytes, kind: str) -> Message:
    """The protobuf `Model` in the bytes of a specification, which must be of the kind `kind`.

    Raises `DamagedData` if they are no Core ML model, `InvalidParameter` if it is one of another kind.
    """
    spec = coremltools_module().proto.Model_pb2.Model()
    try:
        spec.ParseFromString(data)
    except Exception as error:  # protobuf's own class differs between its implementations
        raise DamagedData(WHOLE, "its bytes are not a Core ML protobuf; export it again") from error
    found = spec.WhichOneof("Type")
    if found is None:
        raise DamagedData(WHOLE, "it holds no model; export it again")
    if found != kind:
        raise unsupported(found, f"a Core ML model of the kind {found} here, where {_KINDS[kind]} is meant")
    return spec


def picture_side(description: Message) -> int:
    """Height and width in pixels of the one picture that a model takes. Raises `InvalidParameter` for another input."""
    inputs = description.input
    if len(inputs) != 1 or inputs[0].type.WhichOneof("Type") != "imageType":
        raise unsupported("input", "a model whose input is not one picture")
    image = inputs[0].type.imageType
    if image.width != image.height:
        raise unsupported("input", f"a picture of {image.width} x {image.height} pixels")
    return int(image.width)


def channel_order(description: Message) -> str:
    """The order in which a model takes the channels of its picture: "RGB" or "BGR". Raises `InvalidParameter`."""
    image_type = description.input[0].type.imageType
    order = {image_type.RGB: "RGB", image_type.BGR: "BGR"}.get(image_type.colorSpace)
    if order is None:
        raise unsupported("input", f"pictures in the colour space of number {image_type.colorSpace}")
    return order


def check_images(images: Images, side: int) -> None:
    """Raise `InvalidParameter` unless the pictures are uint8 [N, side, side, 3]."""
    if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
        raise InvalidParameter(
            "images", f"{images.dtype} {list(images.shape)}", f"the model takes uint8 [N, {side}, {side}, 3]"
        )


def channels_first(image: Images, order: str) -> Tensor:
    """uint8 [side, side, 3] RGB -> float32 [1, 3, side, side], 0..255, its channels in the order `order`."""
    channels = image if order == "RGB" else image[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))).to(torch.float32)[None]
