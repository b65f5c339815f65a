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


def close_pairs(hashes: npt.NDArray[np.uint64]) -> Iterator[Rows]:
    """The places of all pairs that differ in at most `MOST_BITS` bits, of hashes uint64 [N]: int64 [n, 2] at a time.

    Most pairs come several times. All at once would take memory by the square of N where all hashes are close.
    """
    for part in range(_PARTS):
        keys = ((hashes >> np.uint64(_PART_BITS * part)) & np.uint64(2**_PART_BITS - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=2**_PART_BITS))
        for bit in (None, *range(_PART_BITS)):
            for first, second in _candidates(keys, order, ends, bit):
                close = _num_bits(hashes[first] ^ hashes[second]) <= MOST_BITS
                yield np.stack([first[close], second[close]], axis=1)


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


class Groups:
    """Which of N places belong together, directly or through others.

    Union-find (R. E. Tarjan, J. van Leeuwen, "Worst-case analysis of set union algorithms", 1984), with all paths
    compressed after each round, so that many places are looked up at once.
    """

    def __init__(self, count: int) -> None:
        self._root = np.arange(count)

    def apart(self, pairs: Rows) -> npt.NDArray[np.bool_]:
        """bool [n]: which of the pairs int64 [n, 2] are not in one group yet."""
        are_apart: npt.NDArray[np.bool_] = self._root[pairs[:, 0]] != self._root[pairs[:, 1]]
        return are_apart

    def join(self, pairs: Rows) -> None:
        """Joins the two of each pair."""
        root = self._root
        for first, second in pairs[self.apart(pairs)].tolist():
            while root[first] != first:
                first = root[first]
            while root[second] != second:
                second = root[second]
            root[max(first, second)] = min(first, second)
        while not np.array_equal(root, higher := root[root]):
            root = higher
        self._root = root

    def several(self) -> list[Rows]:
        """The groups of two and more: each ascends, and so do their first places."""
        order = np.argsort(self._root, kind="stable")
        starts = np.flatnonzero(np.diff(self._root[order])) + 1
        return [group for group in np.split(order, starts) if len(group) > 1]
