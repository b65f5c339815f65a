from __future__ import annotations

import struct

import numpy as np
import pytest

from mlsession.coreml.blobs import read_numbers
from mlsession.errors import DamagedData, InvalidParameter


def storage(numbers: np.ndarray[tuple[int, ...], np.dtype[np.float32]], kind: int = 2, version: int = 2) -> bytes:
    """A file of one blob, written by hand from the description of the format."""
    data = numbers.tobytes()
    return (
        struct.pack("<II", 1, version).ljust(64, b"\0")
        + struct.pack("<IIQQ", 0xDEADBEEF, kind, len(data), 128).ljust(64, b"\0")
        + data
    )


NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_numbers_are_read_row_by_row() -> None:
    found = read_numbers(storage(NUMBERS), 64, (2, 3), "weight.bin")
    assert found.dtype == np.float32
    assert np.array_equal(found, NUMBERS)


@pytest.mark.parametrize(
    ("data", "offset", "shape"),
    [
        (b"", 64, (2, 3)),
        (storage(NUMBERS, version=1), 64, (2, 3)),
        (storage(NUMBERS)[:-1], 64, (2, 3)),
        (storage(NUMBERS), 128, (2, 3)),
        (storage(NUMBERS), 0, (2, 3)),
        (storage(NUMBERS), 1 << 60, (2, 3)),
        (storage(NUMBERS), 64, (2, 2)),
    ],
)
def test_what_holds_no_such_numbers_is_damage(data: bytes, offset: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(DamagedData, match=r"weight\.bin"):
        read_numbers(data, offset, shape, "weight.bin")


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (1, np.array([1.5, -2.0], np.float16).tobytes(), [1.5, -2.0]),
        (3, bytes([0, 255]), [0, 255]),
        (4, bytes([127, 128]), [127, -128]),
        (8, bytes([0b10000111]), [7, -8]),
        (9, bytes([0b01]), [1, 0]),
        (13, bytes([0b11000000, 0b00000101]), [0, 0b010111]),
    ],
    ids=["float16", "uint8", "int8", "int4", "uint1", "uint6"],
)
def test_numbers_of_fewer_bits_are_read_as_they_are(kind: int, data: bytes, expected: list[float]) -> None:
    stored = storage(np.frombuffer(data, np.uint8), kind)
    assert read_numbers(stored, 64, (2,), "weight.bin").tolist() == expected
    with pytest.raises(DamagedData):
        read_numbers(storage(np.frombuffer(data + b"\0", np.uint8), kind), 64, (2,), "weight.bin")


def test_another_type_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="bfloat16"):
        read_numbers(storage(NUMBERS, kind=5), 64, (2, 3), "weight.bin")
