"""Packs that are read again and again in any order cost one more reading each, and bounded memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from mlsession.cache.packs import Digests
from mlsession.cache.shelf import Shelf
from mlsession.extractors.halves import Halves


def pack(number: int) -> tuple[Digests, Halves]:
    digests = np.full((4, 32), number, dtype=np.uint8)
    digests[:, 31] = range(4)
    return digests, np.arange(number, number + 12, dtype=np.float16).reshape(4, 3)


ONE = sum(array.nbytes for array in pack(0))


def check(shelf: Shelf, number: int) -> None:
    digests, rows = pack(number)
    for row in (2, 0, 3):
        digest, features = shelf.row(number, row)
        assert (digest, features.tolist()) == (digests[row].tobytes(), rows[row].tolist())


def visited(shelf: Shelf, numbers: list[int]) -> int:
    """How many packs had to be read."""
    read = 0
    for number in numbers:
        if not shelf.has(number):
            read += 1
            shelf.put(number, *pack(number))
        check(shelf, number)
    return read


def test_one_after_the_other_nothing_is_filed() -> None:
    shelf = Shelf(2 * ONE)
    assert visited(shelf, list(range(9))) == 9
    assert shelf._file is None
    assert visited(shelf, [8, 7, 8]) == 0
    shelf.close()


def test_in_any_order_each_is_read_twice_at_most() -> None:
    shelf = Shelf(2 * ONE)
    assert visited(shelf, [0, 1, 2, 3, 4] * 6) == 10
    shelf.drop(3)
    assert not shelf.has(3)
    assert visited(shelf, [3, 3]) == 1
    shelf.close()
    shelf.close()
    assert not shelf.has(0)


def test_without_room_for_a_file_it_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    shelf = Shelf(2 * ONE)
    assert visited(shelf, [0, 1, 2, 3, 4] * 3) == 15
    shelf.close()


def test_a_file_that_cannot_be_read_gives_no_rows() -> None:
    shelf = Shelf(ONE)
    visited(shelf, [0, 1, 0, 1, 2])
    assert shelf.has(0)
    assert shelf._file is not None
    shelf._file.truncate(10)
    digest, features = shelf.row(0, 1)
    assert digest == b""
    assert len(features) == 0
    shelf.close()
