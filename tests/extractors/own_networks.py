"""Networks of one's own as files: the tiny extractor of `mlsession.testing`, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mlsession.coreml.silence import silenced
from mlsession.testing.tiny_extractor import TinyExtractor

SIDE = 28
"""Pixels that the tiny network sees."""
HALVES = (0.5, 0.5, 0.5)
"""Its mean and its std, where white is 1."""


def tiny(seed: int = 0) -> nn.Module:
    """float32 [N, 3, 28, 28], normalised, to [N, 32]: three convolutions, each with its activation, and a mean."""
    found = TinyExtractor(seed=seed).load().network().network
    assert isinstance(found, nn.Module)
    return found


class Twofold(nn.Module):
    """The same with two outputs by name, and one that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.tiny = tiny()

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"features": self.tiny(x), "map": self.tiny[:6](x), "count": 3}  # type: ignore[index]


FACTOR = 1.0


class Scaled(nn.Module):
    """Times a number that no state holds."""

    factor: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.tiny = tiny()
        self.register_buffer("factor", torch.tensor(FACTOR), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.tiny(x) * self.factor
        return found


class Restless(nn.Module):
    """Other weights each time it is made."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.tiny = tiny(seed=type(self).made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.tiny(x)
        return found


def hidden() -> int:
    """Makes no network."""
    return 3


def write_program(
    path: Path,
    network: nn.Module,
    batch: int | None = None,
    most: int | None = None,
    kind: torch.dtype = torch.float32,
) -> Path:
    """A `.pt2` of any number of pictures, of up to `most`, or of `batch` at once."""
    free = ({0: torch.export.Dim("batch", min=1, max=most)},) if batch is None else None
    example = torch.zeros(2 if batch is None else batch, 3, SIDE, SIDE, dtype=kind)
    with silenced("torch.export"):
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=free), path)
    return path


def tiny_onnx(
    seed: int = 0,
    shape: Sequence[int | str] = ("batch", 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("features",),
) -> onnx.ModelProto:
    """The tiny network in ONNX, without its last mean where "map" is asked for.

    A picture with the channels last is turned, and whole numbers are normalised inside.
    """
    state = tiny(seed).state_dict()
    constants = {name: each.numpy() for name, each in state.items()} | {"half": np.float32(127.5)}
    nodes: list[onnx.NodeProto] = []
    value = "image"

    def add(operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        made = output or f"value_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [made], **attributes))
        return made

    if shape[-1] == 3:
        value = add("Transpose", value, perm=[0, 3, 1, 2])
    if kind == TensorProto.UINT8:
        value = add("Cast", value, to=TensorProto.FLOAT)
        value = add("Div", add("Sub", value, "half"), "half")
    for index in (0, 2, 4):
        value = add("Conv", value, f"{index}.weight", f"{index}.bias", strides=[2, 2], kernel_shape=[3, 3])
        value = add("Relu", value, output="map" if index == 4 else "")
    add("Flatten", add("GlobalAveragePool", value), output="features")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same in half precision: numbers, input and outputs."""
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def one_operator(
    node: onnx.NodeProto,
    constants: dict[str, np.ndarray[Any, Any]],
    shape: Sequence[int | str],
    outputs: Sequence[str] = ("y",),
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of one operator from "x" to "y"."""
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(each, name) for name, each in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def write_onnx(path: Path, model: onnx.ModelProto) -> Path:
    """The model as a file."""
    path.write_bytes(model.SerializeToString())
    return path


def with_sine(folder: Path) -> Path:
    """The tiny network with an operator that becomes no graph of torch."""
    model = tiny_onnx(outputs=("sine",))
    model.graph.node.append(helper.make_node("Sin", ["features"], ["sine"]))
    return write_onnx(folder / "sine.onnx", model)
