"""The weights of a Core ML package: numbers that its program names by their offset in one file.

The layout is that of Apple's `StorageFormat.hpp` (MILBlob, in the repository of coremltools), version 2; everything is
little-endian, and everything starts at a multiple of 64 bytes:

    header      uint32 count, uint32 version, 56 bytes reserved
    for each    uint32 sentinel 0xDEADBEEF, uint32 type, uint64 size, uint64 offset of its numbers, 40 bytes reserved
                its numbers, row by row

A program names a blob by the offset of its sentinel. Numbers of fewer than eight bits lie one after the other, each
from its lowest bit on, in bytes that are filled from their lowest bit on.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from mlsession.errors import DamagedData, InvalidParameter

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Whole: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_HEADER = struct.Struct("<II56x")
_BLOB = struct.Struct("<IIQQ40x")
_VERSION = 2
_SENTINEL = 0xDEADBEEF
_PLAIN: Mapping[int, str] = MappingProxyType({1: "<f2", 2: "<f4", 3: "u1", 4: "i1"})
"""Types of whole bytes, by their number: float16, float32, uint8, int8."""
_PACKED: Mapping[int, tuple[int, bool]] = MappingProxyType(
    {8: (4, True), 9: (1, False), 10: (2, False), 11: (4, False), 12: (3, False), 13: (6, False)}
)
"""Whole numbers of fewer bits: how many, and whether they have a sign."""
_OTHERS: Mapping[int, str] = MappingProxyType({5: "bfloat16", 6: "int16", 7: "uint16"})


def read_numbers(data: bytes, offset: int, shape: Sequence[int], name: str) -> Floats:
    """The blob that starts at `offset`, of any type that it says: float32 of `shape`, which holds each of them exactly.

    `name` is the file's, for messages. Raises `DamagedData` where there is no such blob, `InvalidParameter` for one of
    another type.
    """
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[1] != _VERSION:
        raise DamagedData(name, f"it is no file of weights of version {_VERSION}; export it again")
    if offset + _BLOB.size > len(data):
        raise DamagedData(name, f"it ends before byte {offset}, where weights should start; export it again")
    sentinel, kind, size, start = _BLOB.unpack_from(data, offset)
    if sentinel != _SENTINEL:
        raise DamagedData(name, f"no weights start at byte {offset}; export it again")
    count = math.prod(shape)
    if size != _needed(kind, count) or start + size > len(data):
        raise DamagedData(name, f"the weights at byte {offset} do not have the shape {list(shape)}; export it again")
    stored = data[start : start + size]
    found = np.frombuffer(stored, _PLAIN[kind]) if kind in _PLAIN else unpacked(stored, count, *_PACKED[kind])
    return found.astype(np.float32).reshape(tuple(shape))


def unpacked(data: bytes, count: int, bits: int, signed: bool = False) -> Whole:
    """`count` whole numbers of `bits` bits each, of 1 to 8, the lowest bit first: int64 [count].

    `data` has enough of them.
    """
    each = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * bits].reshape(count, bits)
    found: Whole = each.astype(np.int64) @ (1 << np.arange(bits))
    return found - ((found >> (bits - 1)) << bits) if signed else found


def _needed(kind: int, count: int) -> int:
    """The bytes of so many numbers of a type. Raises `InvalidParameter` for one that is not read."""
    if kind in _PLAIN:
        return count * np.dtype(_PLAIN[kind]).itemsize
    if kind in _PACKED:
        return -(-count * _PACKED[kind][0] // 8)
    raise InvalidParameter(
        "Core ML weights",
        _OTHERS.get(kind, f"of type {kind}"),
        "mlsession runs floats of 32 and 16 bits and whole numbers of 8 and fewer; export it in another format, or use "
        "Core ML itself",
    )
