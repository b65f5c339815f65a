"""All pairs of 64-bit hashes that differ in few bits, without comparing each with each; pure.

Multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast search in Hamming space with multi-index hashing", CVPR
2012): of two hashes that differ in at most 7 bits, one of the four parts of 16 bits differs in at most 1. So each hash
is compared only with those that have the same part, or one that differs in one bit: of n hashes that are spread evenly
some n / 1,000.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

MOST_BITS = 7
"""In which two hashes may differ to be a pair."""

_PART_BITS = 16
_PARTS = 4
_PAIRS_AT_ONCE = 4_000_000
"""What is compared in one go: 100 MB."""

Rows = npt.NDArray[np.int64]


def close_pairs(hashes: npt.NDArray[np.uint64]) -> Rows:
    """int64 [n, 2]: the places of all pairs that differ in at most `MOST_BITS` bits, of hashes uint64 [N], none twice.

    The first of each pair is the smaller one; pairs ascend.
    """
    found = [np.zeros((0, 2), dtype=np.int64)]
    for part in range(_PARTS):
        keys = ((hashes >> np.uint64(_PART_BITS * part)) & np.uint64(2**_PART_BITS - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=2**_PART_BITS))
        for bit in (None, *range(_PART_BITS)):
            for first, second in _candidates(keys, order, ends, bit):
                close = _num_bits(hashes[first] ^ hashes[second]) <= MOST_BITS
                found.append(np.sort(np.stack([first[close], second[close]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _candidates(keys: Rows, order: Rows, ends: Rows, bit: int | None) -> Iterator[tuple[Rows, Rows]]:
    """Pairs with the same key (`bit` None), or with keys that differ in that bit; each once."""
    rows, partners = (order, keys[order]) if bit is None else _without(keys, order, bit)
    # `order` lists the rows of key 0, then those of key 1, ...: those of a key end at its place in `ends`.
    stops = ends[partners]
    starts = np.arange(1, len(order) + 1) if bit is None else np.where(partners > 0, ends[partners - 1], 0)
    counts = stops - starts
    totals = np.cumsum(counts)
    begin = 0
    while begin < len(rows):
        before = totals[begin - 1] if begin else 0
        end = max(int(np.searchsorted(totals, before + _PAIRS_AT_ONCE, side="right")), begin + 1)
        amounts = counts[begin:end]
        first = np.repeat(rows[begin:end], amounts)
        within = np.arange(len(first)) - np.repeat(totals[begin:end] - amounts - before, amounts)
        yield first, order[np.repeat(starts[begin:end], amounts) + within]
        begin = end


def _without(keys: Rows, order: Rows, bit: int) -> tuple[Rows, Rows]:
    """The rows whose key has not that bit, and the keys that have it besides."""
    rows = order[(keys[order] >> bit) & 1 == 0]
    return rows, keys[rows] | (1 << bit)


def _num_bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """How many bits are set in each of uint64 [n]: H. S. Warren, "Hacker's Delight", 2002, figure 5-2."""
    # NumPy has a function for it from 2.0 on only.
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((eights * np.uint64(0x0101010101010101)) >> np.uint64(56))


def groups_of(pairs: Rows) -> list[Rows]:
    """The rows that pairs int64 [n, 2] hold together, directly or through others: each group ascends, and so do they.

    Union-find with path halving (R. E. Tarjan, J. van Leeuwen, "Worst-case analysis of set union algorithms", 1984).
    """
    rows, places = np.unique(pairs, return_inverse=True)
    parent = list(range(len(rows)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in places.reshape(-1, 2).tolist():
        one, other = sorted((root(first), root(second)))
        parent[other] = one
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows.tolist()):
        groups.setdefault(root(place), []).append(row)
    return [np.array(group, dtype=np.int64) for group in groups.values()]
