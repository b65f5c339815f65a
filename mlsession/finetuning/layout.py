"""Which elements of a vector of parameters each of several devices has; pure.

A parameter is cut along its first dimension, in parts of equally many rows but for the last ones, as torch's FSDP2 does
it. So a device's part of the vector is one piece of each parameter, in the order of the vector, and some are empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mlsession.session.phase import Array


def rows_of(rows: int, rank: int, size: int) -> slice:
    """Of a parameter's `rows` those of a device."""
    each = -(-rows // size)
    return slice(min(rank * each, rows), min((rank + 1) * each, rows))


def pieces_of(shapes: Sequence[Sequence[int]], rank: int, size: int) -> tuple[slice, ...]:
    """Of a vector of parameters of these shapes the elements of a device: one piece for each, in order."""
    pieces: list[slice] = []
    start = 0
    for shape in shapes:
        rows, *others = shape or (1,)
        own, each = rows_of(rows, rank, size), math.prod(others)
        pieces.append(slice(start + own.start * each, start + own.stop * each))
        start += rows * each
    return tuple(pieces)


def count_of(pieces: Sequence[slice]) -> int:
    """Their elements."""
    return sum(piece.stop - piece.start for piece in pieces)


def to_places(pieces: Sequence[slice]) -> npt.NDArray[np.int64]:
    """int64 [n, 2], the stored form: where each piece that has elements begins, and how many it has."""
    filled = [(piece.start, piece.stop - piece.start) for piece in pieces if piece.stop > piece.start]
    return np.array(filled, dtype=np.int64).reshape(-1, 2)


def from_places(places: Array) -> tuple[slice, ...]:
    """Reads `to_places` back. Raises `ValueError` for what it does not give."""
    if places.dtype != np.int64 or places.ndim != 2 or places.shape[1] != 2:
        raise ValueError("places are not int64 [n, 2]")
    pieces = tuple(slice(start, start + count) for start, count in places.tolist())
    ends = [0, *(piece.stop for piece in pieces)]
    if any(piece.start < end or piece.stop <= piece.start for piece, end in zip(pieces, ends, strict=False)):
        raise ValueError("places do not follow each other")
    return pieces


def common(mine: Sequence[slice], theirs: Sequence[slice]) -> Iterator[tuple[slice, slice]]:
    """Where elements that two parts share lie in the one and in the other, both with their pieces joined.

    Pieces of a part are in order, and do not overlap.
    """
    first = second = before_first = before_second = 0
    while first < len(mine) and second < len(theirs):
        own, other = mine[first], theirs[second]
        start, stop = max(own.start, other.start), min(own.stop, other.stop)
        if start < stop:
            place, source = before_first + start - own.start, before_second + start - other.start
            yield slice(place, place + stop - start), slice(source, source + stop - start)
        if own.stop <= other.stop:
            before_first += own.stop - own.start
            first += 1
        else:
            before_second += other.stop - other.start
            second += 1
