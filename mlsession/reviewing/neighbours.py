"""Pictures that look alike: pairs of rows whose features point the same way.

Features are standardised over the training images, so that what all photos have in common counts for nothing, and
compared by the cosine of their angle: 1 for the same picture, about 0 for two that have nothing to do with each other.

Up to `EXACT_ROWS` rows each is compared with all before it. More are first divided into leaves of random projection
trees (Dasgupta and Freund, "Random projection trees and low dimensional manifolds", STOC 2008), `TREES` times anew,
and compared within leaves: rows at an angle t fall into one leaf of a tree of d levels with a chance of about
(1 - t / pi) ** d, so copies are hardly ever missed in all of them, and what is just alike enough sometimes is.
Costs N * N * D multiplications at most, or TREES * N * LEAF_ROWS * D; memory for two blocks, and for the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mlsession.phases.features import BLOCK
from mlsession.randomness import keyed_generator
from mlsession.reviewing.rows import ReviewRows

ALIKE = 0.8
"""The least similarity of two pictures that are taken for one; see docs/review.md for what it finds."""
EXACT_ROWS = 50_000
TREES = 12
LEAF_ROWS = 2_048
COMPARED = 2_048
"""Rows that are compared with as many others at a time."""
NEAREST = 8
"""Earlier rows that are remembered of each row, at most; the most similar ones."""
MOST_PAIRS = 2**21
"""Pairs that are collected before all but the nearest are dropped."""
FLOOR = 0.1
"""Of the mean deviation, added to each: a feature that hardly varies must not decide alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """P pairs of similar rows, ascending by `second`, then by falling similarity."""

    first: npt.NDArray[np.int64]
    """[P]: places in the rows of the review; of training images, and below `second`."""
    second: npt.NDArray[np.int64]
    """[P]."""
    similarity: npt.NDArray[np.float32]
    """[P]: at least the threshold, at most 1."""

    def __len__(self) -> int:
        return len(self.first)


def similar_pairs(
    rows: ReviewRows,
    threshold: float = ALIKE,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
    exact_rows: int = EXACT_ROWS,
) -> Pairs:
    """The pairs of a training image and a later row (of any source) that are similar, the `NEAREST` of each row.

    `check` is called between blocks, and may raise.
    """
    vectors = _Vectors(rows)
    found = [np.empty((0, 3))]
    count = 0
    for members in [np.arange(len(rows))] if len(rows) <= exact_rows else _leaves(vectors, seed):
        for pairs in _compared(vectors, members, threshold):
            check()
            found.append(pairs)
            count += len(pairs)
            if count > MOST_PAIRS:
                found = [_nearest(np.concatenate(found))]
                count = len(found[0])
    kept = _nearest(np.concatenate(found))
    return Pairs(
        first=kept[:, 0].astype(np.int64),
        second=kept[:, 1].astype(np.int64),
        similarity=np.minimum(kept[:, 2], 1.0).astype(np.float32),
    )


class _Vectors:
    """Standardised features of length 1."""

    def __init__(self, rows: ReviewRows) -> None:
        self.rows = rows
        count, total, squares = rows.num_training, np.zeros(()), np.zeros(())
        training = np.arange(len(rows)) < count
        for _, features in rows.blocks(training):
            exact = features.astype(np.float64)
            total, squares = total + exact.sum(axis=0), squares + np.square(exact).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
        deviation = deviation + FLOOR * deviation.mean()
        self._mean = mean.astype(np.float32)
        # Where all images are the same, so are all vectors: 0.
        self._scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0).astype(np.float32)

    def take(self, places: npt.NDArray[np.int64]) -> torch.Tensor:
        """float32 [n, D]."""
        exact = self.rows.take(places).astype(np.float32)
        vectors = torch.from_numpy((exact - self._mean) * self._scale)
        return torch.nn.functional.normalize(vectors, dim=1)


def _compared(vectors: _Vectors, members: npt.NDArray[np.int64], threshold: float) -> Iterator[npt.NDArray[np.float64]]:
    """The similar pairs among some rows, ascending; float64 [n, 3]: first, second, similarity."""
    num_training = vectors.rows.num_training
    for start in range(0, len(members), COMPARED):
        seconds = members[start : start + COMPARED]
        later = vectors.take(seconds)
        for other in range(0, start + len(seconds), COMPARED):
            firsts = members[other : other + COMPARED]
            if firsts[0] >= num_training:
                break
            alike = later @ (later if other == start else vectors.take(firsts)).T
            place, first = (each.numpy() for each in torch.nonzero(alike >= threshold, as_tuple=True))
            values = alike.numpy()[place, first]
            place, first = seconds[place], firsts[first]
            wanted = (first < place) & (first < num_training)
            yield _nearest(np.column_stack([first[wanted], place[wanted], values[wanted]]).astype(np.float64))


def _nearest(pairs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """No pair twice, and of each second row the `NEAREST`; ascending by that, then by falling similarity."""
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    new = np.ones(len(pairs), dtype=np.bool_)
    new[1:] = (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1)
    pairs = pairs[new]
    pairs = pairs[np.lexsort((pairs[:, 0], -pairs[:, 2], pairs[:, 1]))]
    starts = np.flatnonzero(np.r_[True, pairs[1:, 1] != pairs[:-1, 1]])[: len(pairs)]
    rank = np.arange(len(pairs)) - np.repeat(starts, np.diff(np.r_[starts, len(pairs)]))
    return pairs[rank < NEAREST]


def _leaves(vectors: _Vectors, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """The leaves of all trees: ascending places, at most `LEAF_ROWS` each."""
    count = len(vectors.rows)
    depth = int(np.ceil(np.log2(count / LEAF_ROWS)))
    for tree in range(TREES):
        projections = np.empty((count, depth), dtype=np.float32)
        for start in range(0, count, BLOCK):
            block = vectors.take(np.arange(start, min(start + BLOCK, count)))
            if start == 0:
                shape = (block.shape[1], depth)
                drawn = keyed_generator(seed, "review tree", tree).standard_normal(shape, dtype=np.float32)
                directions = torch.from_numpy(drawn)
            projections[start : start + len(block)] = (block @ directions).numpy()
        leaves = [np.arange(count)]
        for level in range(depth):
            leaves = [half for leaf in leaves for half in _halved(leaf, projections[leaf, level])]
        yield from leaves


def _halved(
    members: npt.NDArray[np.int64], along: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Those with the smaller and those with the larger values; each ascending."""
    order = np.argsort(along, kind="stable")
    middle = -(-len(members) // 2)
    return np.sort(members[order[:middle]]), np.sort(members[order[middle:]])
