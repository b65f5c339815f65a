from __future__ import annotations

import struct

import numpy as np
import pytest

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.blobs import read_floats


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
    found = read_floats(storage(NUMBERS), 64, (2, 3), "weight.bin")
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
        read_floats(data, offset, shape, "weight.bin")


def test_another_type_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="float16"):
        read_floats(storage(NUMBERS, kind=1), 64, (2, 3), "weight.bin")
