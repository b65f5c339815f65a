"""The values that a Core ML program holds: in its specification, or in the file of weights beside it."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from mlsession.coreml.blobs import read_numbers
from mlsession.coreml.interface import PROGRAM_CURE, WHOLE, Message, unsupported
from mlsession.errors import DamagedData

_MODEL_PATH = "@model_path/"
"""How a program names the folder that its specification lies in."""

_SIZES = "<u4"
_IN_BYTES: Mapping[int, str] = MappingProxyType({10: "<f2", 21: "i1", 31: "u1", 33: _SIZES})
"""Types of `MIL.proto` whose numbers are written as bytes: float16, int8, uint8, and uint32, which counts."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Reads the values that a program holds, from the package's files."""

    files: Mapping[str, bytes]
    folder: str
    """The folder of the specification, which programs call @model_path."""

    def value(self, message: Message) -> Any:
        """The protobuf `Value` as `operations` takes it: a tensor, or Python's numbers, truths and texts."""
        if message.WhichOneof("value") == "blobFileValue":
            name = message.blobFileValue.fileName
            path = posixpath.join(self.folder, name.removeprefix(_MODEL_PATH))
            if not name.startswith(_MODEL_PATH) or path not in self.files:
                raise DamagedData(WHOLE, f"its weights lie in {name!r}, which the package does not hold")
            shape = _shape(message.type.tensorType)
            return torch.from_numpy(read_numbers(self.files[path], message.blobFileValue.offset, shape, path))
        immediate = message.immediateValue
        if immediate.WhichOneof("value") == "list":
            return tuple(self.value(each) for each in immediate.list.values)
        kind = immediate.tensor.WhichOneof("value")
        data_type, shape = message.type.tensorType.dataType, _shape(message.type.tensorType)
        if immediate.WhichOneof("value") == "tensor" and kind == "bytes" and data_type in _IN_BYTES:
            return _from_bytes(immediate.tensor.bytes.values, _IN_BYTES[data_type], shape)
        if immediate.WhichOneof("value") != "tensor" or kind not in ("floats", "ints", "bools", "strings"):
            raise unsupported("const", f"a constant of the kind {kind}", PROGRAM_CURE)
        values = tuple(getattr(immediate.tensor, kind).values)
        _check_count(len(values), shape)
        if not shape:
            return values[0]
        return torch.tensor(values, dtype=torch.float32).reshape(shape) if kind == "floats" else values


def _from_bytes(data: bytes, layout: str, shape: tuple[int, ...]) -> Any:
    """Numbers that are written as bytes: one alone as Python's, several of 32 bits as a tuple, others as a tensor."""
    stored = np.dtype(layout)
    _check_count(len(data) / stored.itemsize, shape)
    values = np.frombuffer(data, stored)
    if not shape:
        return values[0].item()
    return tuple(values.tolist()) if layout == _SIZES else torch.from_numpy(values.astype(np.float32)).reshape(shape)


def _check_count(found: float, shape: tuple[int, ...]) -> None:
    if found != math.prod(shape):
        raise DamagedData(WHOLE, f"{found:g} numbers where a constant needs {list(shape)}")


def _shape(tensor_type: Message) -> tuple[int, ...]:
    return tuple(int(dimension.constant.size) for dimension in tensor_type.dimensions)
