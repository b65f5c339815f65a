"""Packs: plain safetensors with the digests in front; anything else is no pack."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load

from mlsession.cache.packs import (
    FRONT_BYTES,
    PACK_BYTES,
    PACK_ROWS,
    encode_pack,
    folder_of,
    is_ours,
    is_pack,
    pack_key,
    read_front,
    read_pack,
    rows_of_a_pack,
)

FOLDER = folder_of(b"x")
DIGESTS = np.arange(5 * 32, dtype=np.uint8).reshape(5, 32)
ROWS = np.arange(5 * 3, dtype=np.float16).reshape(5, 3)
PACK = encode_pack(DIGESTS, ROWS)


def test_any_reader_of_safetensors_reads_one() -> None:
    arrays = load(PACK)
    assert arrays["digest"].tolist() == DIGESTS.tolist()
    assert arrays["features"].dtype == np.float16
    assert arrays["features"].tolist() == ROWS.tolist()


def test_its_front_says_what_it_holds() -> None:
    front = read_front(PACK[: 8 + 504 + 5 * 32])
    assert front is not None
    assert front.digests.tolist() == DIGESTS.tolist()
    assert (front.width, front.size) == (3, len(PACK))
    largest = encode_pack(np.zeros((PACK_ROWS, 32), dtype=np.uint8), np.zeros((PACK_ROWS, 1280), dtype=np.float16))
    front = read_front(largest[:FRONT_BYTES])
    assert front is not None
    assert front.shape("k").num_rows == PACK_ROWS


def test_it_is_read_only_if_it_is_whole() -> None:
    key = pack_key(FOLDER, PACK)
    read = read_pack(PACK, key)
    assert read is not None
    assert (read[0].tolist(), read[1].tolist()) == (DIGESTS.tolist(), ROWS.tolist())
    assert read_pack(PACK[:-1], key) is None
    assert read_pack(PACK, pack_key(FOLDER, PACK[:-1])) is None


def header_with(**changes: object) -> bytes:
    length = int.from_bytes(PACK[:8], "little")
    header = json.loads(PACK[8 : 8 + length])
    header["features"] |= changes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + PACK[8 + length :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PACK[:7],
        PACK[:100],
        b"\xff" * 400,
        b"\x02" + bytes(7) + b"{}" + bytes(300),
        header_with(dtype="F32"),
        header_with(shape=[5, 0]),
        header_with(shape=[5, 4]),
        header_with(shape=[4, 3]),
        header_with(shape=[5]),
        header_with(shape=None),
        header_with(shape=[5, -3]),
        header_with(data_offsets=[0, 30]),
        header_with(shape=[5, 2**52]),
    ],
)
def test_other_bytes_are_no_pack(data: bytes) -> None:
    assert read_front(data) is None
    assert read_pack(data, f"{FOLDER}/{hashlib.sha256(data).hexdigest()}") is None


def test_bytes_behind_the_rows_are_no_pack() -> None:
    longer = PACK + b"0"
    assert read_pack(longer, pack_key(FOLDER, longer)) is None


@pytest.mark.parametrize("width", [1, 1280, 2048, 4096, 10**6, 10**8])
def test_packs_stay_below_what_one_request_may_write(width: int) -> None:
    rows = rows_of_a_pack(width)
    assert 1 <= rows <= PACK_ROWS
    assert rows == 1 or 512 + rows * (32 + 2 * width) <= PACK_BYTES


def test_only_names_that_a_cache_gives_are_its_own() -> None:
    key = pack_key(FOLDER, PACK)
    assert is_pack(key)
    assert is_ours(key)
    for other in ("features/x/y", f"{key}0", f"other/{key}", f"{FOLDER}/readme", FOLDER, f"{key}/x", f"{key}\n"):
        assert not is_pack(other)
        assert not is_ours(other)
