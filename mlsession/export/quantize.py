"""Weights in fewer bits: numbers in, numbers out; the same numbers give the same outcome on every machine."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Wide: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Places: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Whole: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_MOST_ROUNDS = 300


def by_channel(weights: Floats) -> tuple[Places, Floats, Floats]:
    """Weights float32 [C, ...] as uint8 of the same shape, and scale and bias, float32 [C]: scale * whole + bias.

    Symmetric: 127 stands for zero exactly, and the largest of a channel, of either sign, for itself. No weight moves
    by more than half a scale.
    """
    rows = weights.reshape(len(weights), -1)
    scale = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    steps = np.divide(rows, scale[:, None], out=np.zeros_like(rows), where=scale[:, None] > 0)
    whole = np.clip(np.rint(steps), -127, 127) + 127
    return whole.astype(np.uint8).reshape(weights.shape), scale, (-127 * scale).astype(np.float32)


def palette(weights: Floats, bits: int) -> tuple[Floats, Places]:
    """A table, float32 [2^bits], ascending, and for each weight (of any shape) the place of its nearest entry, uint8.

    k-means of one dimension by Lloyd's rounds (S. P. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf.
    Theory 28, 1982), from the entries that are best for many levels, whose density goes as the cube root of the
    weights' (P. F. Panter and W. Dite, "Quantization distortion in pulse-count modulation", Proc. IRE 39, 1951).
    """
    values, places, counts = np.unique(weights.astype(np.float64), return_inverse=True, return_counts=True)
    size = 2**bits
    if len(values) <= size:
        table = np.pad(values, (0, size - len(values)), mode="edge")
        return table.astype(np.float32), places.reshape(weights.shape).astype(np.uint8)
    table, ends = _fitted(values, counts, _spread_entries(values, counts, size))
    nearest = np.repeat(np.arange(size), np.diff(ends))
    return table.astype(np.float32), nearest[places].reshape(weights.shape).astype(np.uint8)


def _fitted(values: Wide, counts: Whole, table: Wide) -> tuple[Wide, Whole]:
    """The entries after Lloyd's rounds, and where each one's values begin: [size + 1] places, the last the end."""
    weight = np.concatenate([[0], np.cumsum(counts)])
    moment = np.concatenate([[0], np.cumsum(counts * values)])
    ends = _ends(values, table)
    for _ in range(_MOST_ROUNDS):
        held = np.diff(weight[ends])
        # An entry of no values stays where it is, between its neighbours.
        table = np.where(held > 0, np.diff(moment[ends]) / np.maximum(held, 1), table)
        before, ends = ends, _ends(values, table)
        if np.array_equal(before, ends):
            break
    return table, ends


def _ends(values: Wide, table: Wide) -> Whole:
    borders = np.searchsorted(values, (table[1:] + table[:-1]) / 2)
    return np.concatenate([[0], borders, [len(values)]])


def _spread_entries(values: Wide, counts: Whole, size: int) -> Wide:
    """Entries to begin with, ascending: as many to each stretch as its length times the cube root of its density."""
    # Between two neighbours the density is that of one weight over their distance.
    share = np.diff(values) ** (2 / 3) * ((counts[1:] + counts[:-1]) / 2) ** (1 / 3)
    reached = np.concatenate([[0], np.cumsum(share)])
    entries: Wide = np.interp((np.arange(size) + 0.5) / size * reached[-1], reached, values)
    return entries
