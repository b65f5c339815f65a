"""ONNX files of a network of one's own: what they say of themselves. Needs the package onnx."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlsession.errors import InvalidParameter, UsageError
from mlsession.extractors.custom.input import Declared
from mlsession.store import check_read_key

Model: TypeAlias = Any
"""A protobuf `ModelProto`: its classes are made at run time, so there is no static type."""

MOST_BYTES = 2**31 - 1
"""A protobuf is not larger, and ONNX Runtime is given one."""
_KINDS = {1: "float32", 2: "uint8"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxModel:
    """A model that is whole: its external data are inside."""

    model: Model
    input: Declared
    outputs: tuple[str, ...]
    """Those that are tensors, in their order."""
    others: tuple[str, ...]
    """Those that are something else: sequences, mappings."""


def check_onnx() -> None:
    """Raises `UsageError` with the command where what ONNX files need is not installed; loads nothing."""
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"ONNX files need {package}, which is not installed; pip install 'mlsession[onnx]'")


def external_files(data: bytes, shown: str) -> tuple[str, ...]:
    """The names of the files beside a model that hold its weights, if they are not inside.

    Raises `UsageError` without onnx, `InvalidParameter` for bytes that are no model and for a name that leaves the
    folder.
    """
    names = {_entries(tensor).get("location", "") for tensor in _external(_parsed(data, shown))}
    for name in names:
        try:
            check_read_key(name)
        except InvalidParameter as error:
            reason = f"keeps its weights in {name!r}, outside of its own folder; export it again"
            raise InvalidParameter("model_path", shown, reason) from error
    return tuple(sorted(names))


def read_onnx(files: Mapping[str, bytes], shown: str) -> OnnxModel:
    """The model of `files`, by name as `custom.files.ModelFiles` has them; raises as `external_files`.

    And `InvalidParameter` for a model without one input of tensors, or one of 2 GB and more.
    """
    if sum(map(len, files.values())) > MOST_BYTES:
        raise InvalidParameter("model_path", shown, "is larger than 2 GB, the most that ONNX Runtime is given at once")
    model = _parsed(files[""], shown)
    for tensor in _external(model):
        entries = _entries(tensor)
        data, start = files.get(entries.get("location", ""), b""), int(entries.get("offset", "0"))
        tensor.raw_data = data[start : start + int(entries["length"])] if "length" in entries else data[start:]
        tensor.data_location = 0  # Inside.
        del tensor.external_data[:]
    known = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in known]
    if len(inputs) != 1 or inputs[0].type.WhichOneof("value") != "tensor_type":
        names = ", ".join(each.name for each in inputs) or "none"
        raise InvalidParameter("model_path", shown, f"must have one input, a picture; it has {names}")
    outputs = {each.name: each.type.WhichOneof("value") == "tensor_type" for each in model.graph.output}
    return OnnxModel(
        model=model,
        input=_declared(inputs[0]),
        outputs=tuple(name for name, is_tensor in outputs.items() if is_tensor),
        others=tuple(name for name, is_tensor in outputs.items() if not is_tensor),
    )


def inner_values(model: Model) -> frozenset[str]:
    """The names of all values that a graph computes."""
    return frozenset(name for node in model.graph.node for name in node.output if name)


def with_output(model: Model, name: str) -> Model:
    """A copy whose only output is the value `name`."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    kept = [each for each in made.graph.output if each.name == name] or [onnx.ValueInfoProto(name=name)]
    del made.graph.output[:]
    made.graph.output.extend(kept)
    return made


def _parsed(data: bytes, shown: str) -> Model:
    check_onnx()
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own class differs between its implementations
        raise InvalidParameter("model_path", shown, "is no ONNX model; export it again") from error
    if not model.graph.node:
        raise InvalidParameter("model_path", shown, "is no ONNX model: it computes nothing; export it again")
    return model


def _external(model: Model) -> list[Any]:
    constants = (a.t for node in model.graph.node for a in node.attribute if a.HasField("t"))
    return [tensor for tensor in (*model.graph.initializer, *constants) if tensor.data_location == 1]


def _entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _declared(value: Any) -> Declared:
    import onnx

    tensor = value.type.tensor_type
    kind = _KINDS.get(tensor.elem_type) or onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    if not tensor.HasField("shape"):
        return Declared(name=value.name, kind=kind)
    sizes = (int(axis.dim_value) if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    return Declared(name=value.name, shape=tuple(size or None for size in sizes), kind=kind)
