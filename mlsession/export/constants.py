"""The values that a Core ML program holds: in its specification, or in the file of weights beside it."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mlsession.errors import DamagedData
from mlsession.export.blobs import read_floats
from mlsession.export.interface import PROGRAM_CURE, WHOLE, Message, unsupported

_MODEL_PATH = "@model_path/"
"""How a program names the folder that its specification lies in."""


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
            return torch.from_numpy(read_floats(self.files[path], message.blobFileValue.offset, shape, path))
        immediate = message.immediateValue
        if immediate.WhichOneof("value") == "list":
            return tuple(self.value(each) for each in immediate.list.values)
        kind = immediate.tensor.WhichOneof("value")
        if immediate.WhichOneof("value") != "tensor" or kind not in ("floats", "ints", "bools", "strings"):
            raise unsupported("const", f"a constant of the kind {kind}", PROGRAM_CURE)
        values, shape = tuple(getattr(immediate.tensor, kind).values), _shape(message.type.tensorType)
        if len(values) != math.prod(shape):
            raise DamagedData(WHOLE, f"{len(values)} numbers where a constant needs {list(shape)}")
        if not shape:
            return values[0]
        return torch.tensor(values, dtype=torch.float32).reshape(shape) if kind == "floats" else values


def _shape(tensor_type: Message) -> tuple[int, ...]:
    return tuple(int(dimension.constant.size) for dimension in tensor_type.dimensions)
