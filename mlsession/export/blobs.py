"""The weights of a Core ML package: numbers that its program names by their offset in one file.

The layout is that of Apple's `StorageFormat.hpp` (MILBlob, in the repository of coremltools), version 2; everything is
little-endian, and everything starts at a multiple of 64 bytes:

    header      uint32 count, uint32 version, 56 bytes reserved
    for each    uint32 sentinel 0xDEADBEEF, uint32 type, uint64 size, uint64 offset of its numbers, 40 bytes reserved
                its numbers, row by row

A program names a blob by the offset of its sentinel.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from mlsession.errors import DamagedData, InvalidParameter

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

_HEADER = struct.Struct("<II56x")
_BLOB = struct.Struct("<IIQQ40x")
_VERSION = 2
_SENTINEL = 0xDEADBEEF
_FLOAT32 = 2
_TYPES = {1: "float16", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16", 7: "uint16", 8: "int4"}


def read_floats(data: bytes, offset: int, shape: Sequence[int], name: str) -> Floats:
    """The blob that starts at `offset`: float32 of `shape`. `name` is the file's, for messages.

    Raises `DamagedData` where there is no such blob, `InvalidParameter` for one of another type.
    """
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[1] != _VERSION:
        raise DamagedData(name, f"it is no file of weights of version {_VERSION}; export it again")
    if offset + _BLOB.size > len(data):
        raise DamagedData(name, f"it ends before byte {offset}, where weights should start; export it again")
    sentinel, kind, size, start = _BLOB.unpack_from(data, offset)
    if sentinel != _SENTINEL:
        raise DamagedData(name, f"no weights start at byte {offset}; export it again")
    if kind != _FLOAT32:
        found = _TYPES.get(kind, f"of type {kind}")
        raise InvalidParameter(
            "Core ML weights", found, "mlsession runs float32; export it in another format, or use Core ML itself"
        )
    if size != 4 * math.prod(shape) or start + size > len(data):
        raise DamagedData(name, f"the weights at byte {offset} do not have the shape {list(shape)}; export it again")
    return np.frombuffer(data, "<f4", math.prod(shape), start).astype(np.float32).reshape(tuple(shape))
