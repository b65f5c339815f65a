"""Which images a curve is measured on: folds that are held out, and nested parts of the others; pure.

    for each repeat: the images are dealt to `FOLDS` folds
        for each fold: of the other images the first 1/4, ..., 1/2, ..., all in a keyed order, of each class alike

Copies of an image (the same bytes) are one: they are in the same fold, and in the same parts. So are images that were
said to belong together (see `data.together`): what more of them bring is what more of such groups bring. All follows
from the seed and the contents, and not from the order of the images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import content_numbers
from mlsession.data.folds import FOLDS, fold_of
from mlsession.errors import InternalError
from mlsession.randomness import key_digest

Places = npt.NDArray[np.int64]

FRACTIONS = (0.25, 0.25 * 2**0.5, 0.5, 0.5 * 2**0.5, 1.0)
"""Of the images that are not held out. Smaller ones tell little of what more images bring: there, other laws hold."""
MOST_REPEATS = 4
ENOUGH_JUDGED = 8_000
"""Verdicts on images, after which there are no further repeats."""
FEWEST_FOLDS = 2
"""Held out of very many images."""
FEWEST_PER_CLASS = 8
"""Different images of a class, on average: of fewer no curve can be told from noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """What is held out once, and what heads are fitted to; places among the images."""

    repeat: int
    held_out: Places
    """Ascending."""
    parts: tuple[Places, ...]
    """For each of `FRACTIONS`, ascending; each holds the one before."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How often images are dealt to folds, and how many of these are held out in turn each time."""

    repeats: int
    folds: int

    def __post_init__(self) -> None:
        if self.repeats > 1 and self.folds < FOLDS:
            raise InternalError("learning curve: each repeat must ask about the same images")

    @property
    def fits(self) -> int:
        """To parts of the images."""
        return self.repeats * self.folds * len(FRACTIONS)


def turns_for(count: int) -> Turns:
    """As many as make the outcome for `count` images sure enough."""
    repeats = min(max(ENOUGH_JUDGED // count, 1), MOST_REPEATS)
    folds = min(max(FOLDS * ENOUGH_JUDGED // count, FEWEST_FOLDS), FOLDS)
    return Turns(repeats, folds)


def splits(
    labels: Places, digests: npt.NDArray[np.uint8], turns: Turns, seed: int, ties: Places | None = None
) -> Iterator[Split]:
    """All of them; `labels` int64 [N] and `digests` uint8 [N, 32] are those of the images.

    `ties` int64 [N] gives those that belong together the same number, see `data.together.ties_of`; None: copies alone.
    """
    _, first, groups = np.unique(content_numbers(digests), return_index=True, return_inverse=True)
    of_groups = labels[first][groups]
    if ties is not None:
        # A group is called by the least of its contents; its images may have several labels.
        order = np.lexsort((*digests.T[::-1], ties))
        _, begins, groups = np.unique(ties, return_index=True, return_inverse=True)
        first, of_groups = order[np.searchsorted(ties[order], ties[begins])], labels
    for repeat in range(turns.repeats):
        folds = fold_of(labels, groups, digests, key_digest(seed, "learning curve fold", repeat))
        salt = key_digest(seed, "learning curve part", repeat)
        keys = [sha256(salt + digests[place].tobytes()).digest() for place in first.tolist()]
        turn = np.empty(len(keys), dtype=np.int64)
        turn[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
        for fold in range(turns.folds):
            kept = np.flatnonzero(folds != fold)
            yield Split(
                repeat=repeat,
                held_out=np.flatnonzero(folds == fold),
                parts=tuple(kept[mask] for mask in nested(of_groups[kept], turn[groups[kept]])),
            )


def nested(labels: Places, turn: Places) -> Iterator[npt.NDArray[np.bool_]]:
    """For each fraction which of n images are in, bool [n]: of each class the first by `turn`, 1 or more.

    Copies have the same label and the same turn, and count as one.
    """
    ranks, counts = np.zeros(len(labels), dtype=np.int64), np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels).tolist():
        mine = labels == label
        turns, places = np.unique(turn[mine], return_inverse=True)
        ranks[mine], counts[mine] = places, len(turns)
    for fraction in FRACTIONS:
        yield ranks < np.ceil(fraction * counts - 1e-9)


def sample(labels: Places, digests: npt.NDArray[np.uint8], most: int, seed: int) -> Places:
    """Places of at most about `most` images, ascending: of each class the same share, and copies together."""
    if len(labels) <= most:
        return np.arange(len(labels))
    salt = key_digest(seed, "learning curve sample")
    drawn = np.array([int.from_bytes(sha256(salt + row.tobytes()).digest()[:6], "big") for row in digests])
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels).tolist():
        mine = np.flatnonzero(labels == label)
        kept = max(round(len(mine) * most / len(labels)), min(2, len(mine)))
        chosen[mine[drawn[mine] <= np.sort(drawn[mine])[kept - 1]]] = True
    return np.flatnonzero(chosen)
