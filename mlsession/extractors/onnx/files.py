"""ONNX files of a network of one's own: what they say of themselves. Needs the package onnx."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlsession.errors import InvalidParameter, UsageError
from mlsession.extractors.custom.input import Declared
from mlsession.store import check_read_key

Model: TypeAlias = Any
"""A protobuf `ModelProto`: its classes are made at run time, so there is no static type."""

MOST_BYTES = 2**31 - 1
"""A protobuf is not larger, and ONNX Runtime is given one."""
_KINDS = {1: "float32", 2: "uint8", 10: "float16"}


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
    model, total = _parsed(files[""], shown), 0
    for tensor in _external(model):
        entries = _entries(tensor)
        tensor.raw_data = _part(files.get(entries.get("location", ""), b""), entries, shown)
        total += len(tensor.raw_data)
        if total > MOST_BYTES:
            raise InvalidParameter("model_path", shown, "names the same weights again and again, more than 2 GB in all")
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


def _part(data: bytes, entries: Mapping[str, str], shown: str) -> bytes:
    """What external data names of a file."""
    try:
        start, length = int(entries.get("offset", "0")), int(entries.get("length", len(data)))
    except ValueError:
        start = length = -1
    if min(start, length) < 0:
        raise InvalidParameter("model_path", shown, "names a part of its weights that cannot be; export it again")
    return data[start : start + length]


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
    return [tensor for tensor in _tensors(model) if tensor.data_location == 1]


def _tensors(message: Any) -> Iterator[Any]:
    """All of a message: also those of graphs inside its operators, of functions, and of sparse ones."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in (value,) if hasattr(value, "ListFields") else value:
                yield from _tensors(each)


def _entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _declared(value: Any) -> Declared:
    import onnx

    tensor = value.type.tensor_type
    kind = _KINDS.get(tensor.elem_type) or onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    if not tensor.HasField("shape"):
        return Declared(name=value.name, kind=kind)
    sizes = (int(axis.dim_value) if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    # Some exporters write 0 or -1 for any size.
    shape = tuple(size if size is not None and size > 0 else None for size in sizes)
    return Declared(name=value.name, shape=shape, kind=kind)
