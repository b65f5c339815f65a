"""Rows to choose on, in memory: those that a fold judges lie together, so that what is left are two runs of rows.

rows                       [ never judged | fold 0: judged, then views | fold 1: ... ]
fitted to, for fold 1      [ ------------------------------------------ ]          [ ... ]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from mlsession.heads.blocks import MOST_WORKERS, Block, Rows, worked
from mlsession.heads.moments import Moments, rounded
from mlsession.processor import usable_processors
from mlsession.session.phase import Array, Arrays

BLOCK_ROWS = 1024
"""Rows that are worked on at once: with 1,280 features 5 MB, which are read from memory once and not three times."""
SHARED_BLOCKS = 4
"""With more blocks than this several threads work on them: below that starting these takes longer."""
NEVER = -1
"""The fold of rows that are always fitted to and never judged."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Rows of one fold: `start` up to `judged` are judged, and those from there up to `stop` are views of them."""

    start: int
    judged: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldedRows:
    """N rows of some folds."""

    features: torch.Tensor
    """float32 [N, D], the mean of `moments` taken off; not to be written into."""
    labels: torch.Tensor
    """int64 [N]."""
    contents: npt.NDArray[np.int64]
    """[N]: see `TrainingRows.contents`."""
    originals: npt.NDArray[np.bool_]
    """[N]: rows of images as they are; the others are further views of them."""
    folds: tuple[Fold, ...]
    moments: Moments
    """Of all rows that the head will be fitted to, in the end."""
    is_grouped: bool = False
    """See `TrainingRows.is_grouped`."""

    @property
    def num_judged(self) -> int:
        """J: rows that are judged, over all folds."""
        return sum(fold.judged - fold.start for fold in self.folds)

    @property
    def judged_labels(self) -> Array:
        """int64 [J]: fold by fold."""
        return np.concatenate([self.labels[fold.start : fold.judged].numpy() for fold in self.folds])

    def judged_of(self, fold: int) -> slice:
        """Where what is judged of a fold lies among all judged rows; of the fold after the last: at the end."""
        before = sum(each.judged - each.start for each in self.folds[:fold])
        return slice(before, before + sum(each.judged - each.start for each in self.folds[fold : fold + 1]))

    def fitted(self, fold: int) -> FittedRows:
        """The rows that a head is fitted to which judges a fold."""
        left = self.folds[fold]
        return FittedRows(rows=self, runs=((0, left.start), (left.stop, len(self.labels))))

    def judged(self, fold: int) -> torch.Tensor:
        """float32 [n, D]: the features of the rows that are judged of a fold, centred."""
        return self.features[self.folds[fold].start : self.folds[fold].judged]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRows:
    """`Passes` over runs of rows: the same blocks every time, in place, without a copy."""

    rows: FoldedRows
    runs: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.runs)

    def __call__(self, work: Callable[[Block], Result]) -> Iterator[Result]:
        places = [(first, min(first + BLOCK_ROWS, stop)) for start, stop in self.runs for first in _cuts(start, stop)]

        def work_on(place: tuple[int, int]) -> Result:
            cut = slice(*place)
            return work(Block(features=self.rows.features[cut], labels=self.rows.labels[cut]))

        if len(places) > SHARED_BLOCKS and (workers := min(usable_processors(), MOST_WORKERS)) > 1:
            return worked(places, work_on, workers)
        return map(work_on, places)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PickedRows:
    """`TrainingRows` of what a head is fitted to which judges a fold: the same rows, the mean taken off as well."""

    rows: FoldedRows
    places: npt.NDArray[np.int64]
    """[n]: among all rows, ascending."""

    @classmethod
    def fitted(cls, rows: FoldedRows, fold: int) -> PickedRows:
        """See `FoldedRows.fitted`."""
        return cls(rows=rows, places=np.concatenate([np.arange(*run) for run in rows.fitted(fold).runs]))

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self) -> Iterator[Arrays]:
        for start in range(0, len(self), BLOCK_ROWS):
            yield self.take(np.arange(start, min(start + BLOCK_ROWS, len(self))))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.rows.labels.numpy()[self.places]

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        return self.rows.contents[self.places]

    @property
    def is_grouped(self) -> bool:
        return self.rows.is_grouped

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return self.rows.originals[self.places]

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        rows = self.places[places]
        return {"features": self.rows.features.numpy()[rows], "labels": self.rows.labels.numpy()[rows]}


def folded_order(folds: npt.NDArray[np.int64], original: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64 [N]: the places of rows in the order of `FoldedRows`; `folds` [N] from 0, or `NEVER`."""
    return np.lexsort((np.arange(len(folds)), ~original, folds))


def folded_rows(
    rows: Rows,
    folds: npt.NDArray[np.int64],
    originals: npt.NDArray[np.bool_],
    contents: npt.NDArray[np.int64],
    moments: Moments,
    *,
    is_grouped: bool = False,
) -> FoldedRows:
    """The rows of one pass, which come in the order of `folded_order`, in memory; 4 bytes for each feature of each.

    `folds`, `originals` and `contents` [N] are those of the rows in their new order. Each fold up to the last has a
    row to judge.
    """
    count, mean = len(folds), rounded(moments.mean).to(torch.float32)
    features = torch.empty((count, len(mean)), dtype=torch.float32)
    labels = torch.empty(count, dtype=torch.int64)
    done = 0
    for block in rows():
        place = slice(done, done + len(block["labels"]))
        features.numpy()[place] = block["features"]
        features[place] -= mean
        labels.numpy()[place] = block["labels"]
        done = place.stop
    found = []
    for fold in range(int(folds.max()) + 1):
        start, stop = (int(np.searchsorted(folds, fold, side)) for side in ("left", "right"))
        found.append(Fold(start=start, judged=start + int(originals[start:stop].sum()), stop=stop))
    return FoldedRows(
        features=features,
        labels=labels,
        contents=contents,
        originals=originals,
        folds=tuple(found),
        moments=moments,
        is_grouped=is_grouped,
    )


def _cuts(start: int, stop: int) -> range:
    return range(start, stop, BLOCK_ROWS)
