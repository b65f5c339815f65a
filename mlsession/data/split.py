"""The split into training and validation images; pure, and a function of (seed, contents) only."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.randomness import key_digest, keyed_generator
from mlsession.session.phase import Array

DIGEST_BYTES = 32
SPLIT = "validation split"
"""What orders contents, as a key of randomness."""
_ERRORS = 4
"""Standard errors of a share that the line between the sides may be away from it."""


def split_rows(labels: Array, digests: Array, ratio: float, seed: int) -> Array:
    """Which rows to validate on: bool [N]; `labels` are ints [N] from 0, `digests` uint8 [N, 32] of the contents.

    How many: `validation_counts` per class. Which: contents are put in an order that is a pure function of (seed,
    content), and each goes to validation while there is room in the classes of all of its rows. So

    - the order of the rows does not matter, and neither does any other image's name;
    - rows with the same content, also under different labels, are always on one side;
    - no class has more validation rows than its count, and every class with rows keeps one to train on;
    - a class has fewer only where each of its remaining contents has more copies than there is room for.

    Raises `InvalidParameter` for a ratio outside [0, 1) or arrays of another shape.
    """
    check_split(labels, digests, ratio)
    chosen = np.zeros(len(labels), dtype=np.bool_)
    room = validation_counts(np.bincount(labels), ratio, seed).tolist()
    left = sum(room)
    contents = _Contents.of(digests)
    salt = key_digest(seed, SPLIT)
    names = labels.tolist()
    for content in contents.in_order_of(salt).tolist():
        if left == 0:
            break
        rows = contents.rows(content)
        amounts = Counter(names[row] for row in rows)
        if all(room[name] >= amount for name, amount in amounts.items()):
            for name, amount in amounts.items():
                room[name] -= amount
            left -= len(rows)
            chosen[rows] = True
    return chosen


def check_split(labels: Array, digests: Array, ratio: float) -> None:
    """Raises `InvalidParameter` for a ratio outside [0, 1), or arrays of another shape than those of `split_rows`."""
    if not 0 <= ratio < 1:
        raise InvalidParameter("ratio", ratio, "must be at least 0 and below 1")
    if labels.ndim != 1 or digests.shape != (len(labels), DIGEST_BYTES) or digests.dtype != np.uint8:
        raise InvalidParameter("digests", digests.shape, f"must be uint8 [{len(labels)}, {DIGEST_BYTES}]")


def may_be_held_out(labels: Array, digests: Array, class_counts: Array, ratio: float, seed: int) -> Array:
    """Which of some rows `split_rows` may choose of all rows, whose contents are not known: bool [N].

    `labels` and `digests` are those of the N rows, `class_counts` int64 [K] says how many there are of each class in
    all. The contents that are chosen are those of a class whose hashes are the least; where the line lies follows from
    their number but for chance, of which four standard errors are allowed for. Pure.
    """
    if ratio == 0:
        return np.zeros(len(labels), dtype=np.bool_)
    salt = key_digest(seed, SPLIT)
    hashes = b"".join(hashlib.sha256(salt + digest.tobytes()).digest()[:8] for digest in digests)
    share = np.frombuffer(hashes, dtype=">u8").astype(np.float64) / 2.0**64
    counts = class_counts[labels]
    line: Array = ratio + 1 / counts + _ERRORS * np.sqrt(ratio * (1 - ratio) / counts)
    return share < line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Contents:
    """Which rows have the same content, in some 60 bytes a row."""

    digests: Array
    """uint8 [n, 32]: each content once."""
    row_order: Array
    """int64 [N]: the rows, those of a content together and ascending."""
    ends: Array
    """int64 [n]: where the rows of each content end in that."""

    @classmethod
    def of(cls, digests: Array) -> _Contents:
        ranks = _ascending(digests)
        ordered = digests[ranks]
        last = np.ones(len(ordered), dtype=np.bool_)
        last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
        ends = np.flatnonzero(last) + 1
        return cls(digests=ordered[last], row_order=ranks, ends=ends)

    def in_order_of(self, salt: bytes) -> Array:
        """int64 [n]: the contents by the SHA-256 of salt and digest."""
        contents, hashes = self.digests.tobytes(), bytearray()
        for start in range(0, len(contents), DIGEST_BYTES):
            hashes += hashlib.sha256(salt + contents[start : start + DIGEST_BYTES]).digest()
        return _ascending(np.frombuffer(hashes, dtype=np.uint8).reshape(-1, DIGEST_BYTES))

    def rows(self, content: int) -> list[int]:
        first = int(self.ends[content - 1]) if content else 0
        rows: list[int] = self.row_order[first : self.ends[content]].tolist()
        return rows


def _ascending(digests: Array) -> Array:
    """int64 [n]: the order of digests as byte strings; equal ones in the order of their rows."""
    words = np.ascontiguousarray(digests).view(">u8")
    return np.lexsort(tuple(words[:, column].astype(np.uint64) for column in reversed(range(words.shape[1]))))


def validation_counts(class_counts: Array, ratio: float, seed: int) -> Array:
    """How many rows of each class to validate on, int64 [K], given how many there are.

    The method of the largest remainder: every class gets its share rounded down; what is missing to the rounded share
    of all rows goes, one each, to the classes that lost most, chance (by the seed) deciding between equals. A class
    never gives its last row.
    """
    shares = ratio * class_counts.astype(np.float64)
    # A share such as 0.1 * 30 may come out a hair below the whole number that it is.
    counts = np.floor(shares + 1e-9).astype(np.int64)
    missing = int(np.floor(ratio * int(class_counts.sum()) + 0.5 + 1e-9)) - int(counts.sum())
    remainders = np.round(shares - counts, 9)
    chance = keyed_generator(seed, "validation split", "equals").permutation(len(counts))
    by_loss = np.lexsort((chance, -remainders))
    eligible = by_loss[(counts + 1 < class_counts)[by_loss] & (remainders > 0)[by_loss]]
    counts[eligible[: max(missing, 0)]] += 1
    return counts
