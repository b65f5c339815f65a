"""The files of the feature cache: immutable, named by their own hash, and what they hold stands at the front.

    features/<folder>/<sha256>      a pack: rows of features that are equal to the bit wherever they are made
    features/about/<folder>         what makes the rows of that folder
    features/used/<generation>-..   which packs a run has used; see `recency`
    features/memo/<sha256>          which files have which contents; see `memo`

A pack is a safetensors file with `digest` uint8 [n, 32] before `features` float16 [n, D], so that its first bytes say
which rows it has.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.extractors.halves import Halves
from mlsession.session.log.canonical import canonical_json, sha256
from mlsession.session.log.members import as_count, as_list
from mlsession.session.phase import Json

ROOT = "features"
MEMOS = f"{ROOT}/memo/"
PACK_ROWS = 4_096
"""The most rows of a pack."""
PACK_BYTES = 16 * 2**20
"""The most bytes of a pack that has more than one row: it is written in one request."""
DIGEST_BYTES = 32
_HEADER_BYTES = 504
"""The longest header, without the eight bytes that say how long it is."""
FRONT_BYTES = 8 + _HEADER_BYTES + DIGEST_BYTES * PACK_ROWS
"""The first bytes of a pack, in which all its digests are."""

Digests = npt.NDArray[np.uint8]

_PACK = re.compile(rf"{ROOT}/[0-9a-f]{{32}}/[0-9a-f]{{64}}")
_MEMO = re.compile(rf"{MEMOS}[0-9a-f]{{64}}")
_OTHERS = re.compile(rf"{ROOT}/(about/[0-9a-f]{{32}}|used/[0-9]{{10}}-[0-9a-f]{{16}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackShape:
    """A pack, without what is in it."""

    key: str
    num_rows: int
    width: int
    """Features of a row."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackFront:
    """What the beginning of a pack says."""

    digests: Digests
    """uint8 [n, 32]: which rows it has, in order."""
    width: int
    """Features of a row."""
    start: int
    """Where its rows begin, in bytes."""

    @property
    def size(self) -> int:
        """Bytes of the whole pack."""
        return self.start + 2 * self.width * len(self.digests)

    def shape(self, key: str) -> PackShape:
        """The same in short."""
        return PackShape(key=key, num_rows=len(self.digests), width=self.width, size=self.size)


def folder_about(identity: str, numerics: Mapping[str, Json]) -> bytes:
    """What makes the features of a folder: all that gives them their bits."""
    return canonical_json([identity, dict(numerics)])


def folder_of(about: bytes) -> str:
    """The folder of what `folder_about` says."""
    return f"{ROOT}/{sha256(about)[:32]}"


def about_key(folder: str) -> str:
    """Where it is said what a folder is of."""
    return f"{ROOT}/about/{folder.rpartition('/')[2]}"


def pack_key(folder: str, data: bytes) -> str:
    """The key of a pack: nobody else writes other bytes there."""
    return f"{folder}/{hashlib.sha256(data).hexdigest()}"


def is_pack(key: str) -> bool:
    """Whether a key is that of a pack."""
    return _PACK.fullmatch(key) is not None


def is_memo(key: str) -> bool:
    """Whether a key is that of a memo."""
    return _MEMO.fullmatch(key) is not None


def is_ours(key: str) -> bool:
    """Whether a key is one that a cache writes; nothing else is ever deleted."""
    return is_pack(key) or is_memo(key) or _OTHERS.fullmatch(key) is not None


def rows_of_a_pack(width: int, most: int = PACK_ROWS) -> int:
    """How many rows of so many features go together: at most `most`, and `PACK_BYTES`."""
    return max(min(most, (PACK_BYTES - 8 - _HEADER_BYTES) // (DIGEST_BYTES + 2 * max(width, 1))), 1)


def encode_pack(digests: Digests, rows: Halves) -> bytes:
    """The stored form of digests uint8 [n, 32] and rows float16 [n, D]."""
    count, width = rows.shape
    between = DIGEST_BYTES * count
    # safetensors itself would write the rows first; its format leaves the order to the writer.
    header = json.dumps(
        {
            "digest": {"dtype": "U8", "shape": [count, DIGEST_BYTES], "data_offsets": [0, between]},
            "features": {"dtype": "F16", "shape": [count, width], "data_offsets": [between, between + rows.nbytes]},
        },
        separators=(",", ":"),
    ).encode()
    header += b" " * (-len(header) % 8)
    return b"".join((len(header).to_bytes(8, "little"), header, digests.tobytes(), rows.astype("<f2").tobytes()))


def read_front(data: bytes) -> PackFront | None:
    """What the first `FRONT_BYTES` of a pack say, or all of a shorter one; None if they are not those of a pack."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > _HEADER_BYTES:
        return None
    try:
        header = json.loads(data[8 : 8 + length])
        (count, digest_bytes), (rows, width) = (
            map(as_count, as_list(header[name]["shape"])) for name in ("digest", "features")
        )
        offsets = [as_count(end) for name in ("digest", "features") for end in as_list(header[name]["data_offsets"])]
        types = [header[name]["dtype"] for name in ("digest", "features")]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    between = DIGEST_BYTES * count
    expected = [0, between, between, between + 2 * rows * width]
    fits = rows == count <= PACK_ROWS and digest_bytes == DIGEST_BYTES and offsets == expected
    start = 8 + length + between
    if not fits or types != ["U8", "F16"] or not width or len(data) < start:
        return None
    digests = np.frombuffer(data, dtype=np.uint8, count=between, offset=8 + length).reshape(count, DIGEST_BYTES)
    return PackFront(digests=digests, width=width, start=start)


def read_pack(data: bytes, key: str) -> tuple[Digests, Halves] | None:
    """Digests uint8 [n, 32] and rows float16 [n, D] of a pack; None if its bytes are not those that its name promises.

    Whoever may write to the cache may write what he likes under its own hash, so that proves nothing but wholeness.
    """
    if hashlib.sha256(data).hexdigest() != key.rpartition("/")[2]:
        return None
    front = read_front(data)
    if front is None or len(data) != front.size:
        return None
    rows = np.frombuffer(data, dtype="<f2", offset=front.start).reshape(len(front.digests), front.width)
    return front.digests, rows.astype(np.float16, copy=False)
