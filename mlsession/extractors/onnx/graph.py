"""An ONNX graph as a module of torch, so that it can be exported to other formats.

Whole numbers, of which graphs make shapes, are tuples (of a scalar: an int), constants without axes Python's numbers,
and all else tensors. A graph with an operator that is not among `operators.OPERATORS` is refused when it is made,
never run in part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlsession.errors import InvalidParameter
from mlsession.extractors.onnx.operators import OPERATORS, Operator

LEAST_OPSET = 13
"""From this version of the operators on axes are inputs, and softmax means what it does today."""


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    operator: Operator
    inputs: tuple[str, ...]
    """"" for one that is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class OnnxGraph(nn.Module):
    """From the model's one input to the value `wanted`."""

    def __init__(self, model: Any, source: str, wanted: str) -> None:
        """`model` is a protobuf `ModelProto` that is whole. Raises `InvalidParameter` for what it cannot be made of."""
        super().__init__()
        self._source, self._wanted = source, wanted
        self._fixed: dict[str, Any] = {}
        opset = next((int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
        if opset < LEAST_OPSET:
            raise _unfit(f"its operators are of version {opset}, older than {LEAST_OPSET}")
        for index, tensor in enumerate(model.graph.initializer):
            value = _constant(tensor)
            if isinstance(value, Tensor):
                self.register_buffer(f"constant_{index}", value)
                value = f"constant_{index}"
            self._fixed[tensor.name] = value
        self._nodes = tuple(_node(each) for each in _needed(model.graph.node, wanted))

    def forward(self, pictures: Tensor) -> Any:
        buffers: Mapping[str, Any] = dict(self.named_buffers())
        values: dict[str, Any] = {
            name: buffers[value] if isinstance(value, str) else value for name, value in self._fixed.items()
        }
        values[self._source] = pictures
        for node in self._nodes:
            given = [values[name] if name else None for name in node.inputs]
            found = node.operator(*given, **node.attributes)
            made = found if isinstance(found, list) else [found]
            values.update(zip(node.outputs, made, strict=False))
        return values[self._wanted]


def _needed(nodes: Sequence[Any], wanted: str) -> list[Any]:
    """Those that lead to a value, in their order."""
    names, kept = {wanted}, list[Any]()
    for node in reversed(nodes):
        if names & set(node.output):
            kept.append(node)
            names.update(node.input)
    return kept[::-1]


def _node(message: Any) -> _Node:
    kind = message.op_type
    if message.domain not in ("", "ai.onnx") or kind not in OPERATORS:
        raise _unfit(f"it uses the operator {kind}, which mlsession cannot convert (it can: {', '.join(OPERATORS)})")
    attributes = {each.name: _attribute(each, kind) for each in message.attribute}
    return _Node(message.name, OPERATORS[kind], tuple(message.input), tuple(message.output), attributes)


def _attribute(attribute: Any, kind: str) -> Any:
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _constant(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value):
        return tuple(value)
    raise _unfit(f"its operator {kind} has an attribute {attribute.name} of another kind than numbers")


def _constant(tensor: Any) -> Any:
    import onnx

    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32)) if array.ndim else float(array)
    if array.dtype.kind in "iub" and array.ndim < 2:
        return tuple(array.tolist()) if array.ndim else array.item()
    raise _unfit(f"it holds {array.dtype.name} numbers of {array.ndim} axes")


def _unfit(reason: str) -> InvalidParameter:
    return InvalidParameter("ONNX graph", "", reason)
