"""Which rows of a table of features heads are judged on: in which fold each image lies, and those rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.data.folds import FOLDS, fold_of, judged_classes
from mlsession.data.sample import stratified_sample
from mlsession.heads.moments import measure
from mlsession.heads.selecting.folded import NEVER, FoldedRows, folded_order, folded_rows
from mlsession.phases.features import BLOCK, FeatureTable
from mlsession.phases.train import TableRows
from mlsession.randomness import key_digest
from mlsession.session.phase import Arrays

LEAST_JUDGED = 20
"""With fewer images to judge on nothing is chosen."""
ENOUGH_JUDGED = 2_000
"""Folds are judged until so many images are: what the choice loses for want of more is within its noise by then."""
MOST_VALIDATION = 5_000
"""Of images held out for validation so many are judged, at most: one fit judges them all."""
MOST_ROWS = 20_000
MOST_BYTES = 256 * 2**20
"""Of features in float32: chosen is on at most so many training rows, all views counted."""
UNUSED = NEVER - 1
"""The fold of images that nothing is chosen on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """How images are folded; a function of these values, the contents and the labels only."""

    classes: tuple[str, ...]
    tune: str
    """ "cross-validation": training images are judged, in folds. "validation": those held out for validation are."""
    seed: int
    most_rows: int = MOST_ROWS
    enough: int = ENOUGH_JUDGED

    def of_images(self, table: FeatureTable) -> npt.NDArray[np.int64] | None:
        """int64 [images]: the fold of each image, `NEVER` or `UNUSED`; None where too few of them are judged."""
        images = self._sampled(table)
        folds = np.full(len(table.digests), UNUSED, dtype=np.int64)
        if self.tune == "validation":
            folds[images] = NEVER
            folds[_evenly(table.image[table.validation], MOST_VALIDATION)] = 0
        else:
            labels, groups = table.labels[table.original][images], table.contents[images]
            folds[images] = self._folds(labels, table.digests[images], groups)
        is_judged = (folds != NEVER) & (folds != UNUSED)
        return folds if is_judged.sum() >= LEAST_JUDGED else None

    def rows(self, table: FeatureTable, folds: npt.NDArray[np.int64]) -> FoldedRows:
        """The rows to train on of images in those folds, and to judge."""
        moments = measure(TableRows(table), self.classes)
        of_rows = folds[table.image]
        # Of an image that is held out only the image itself is judged, and of a training image all views are fitted to.
        used = ((of_rows != UNUSED) & table.training) | ((of_rows == 0) & table.validation)
        places = np.flatnonzero(used)
        places = places[folded_order(of_rows[places], table.original[places])]
        return folded_rows(
            partial(_blocks, table, places),
            of_rows[places],
            table.original[places],
            table.contents[table.image[places]],
            moments,
            is_grouped=table.groups is not None,
        )

    def _sampled(self, table: FeatureTable) -> npt.NDArray[np.int64]:
        """The training images to choose on, as places in the corpus, ascending."""
        chosen = table.training & table.original
        images, labels = table.image[chosen], table.labels[chosen]
        most = min(self.most_rows, MOST_BYTES // (4 * table.features.shape[1]))
        salt = key_digest(self.seed, "selection sample")
        return images[stratified_sample(labels, table.digests[images], most / table.training.sum(), salt)]

    def _folds(
        self, labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8], groups: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """int64 [n]: the fold of each of n images, from 0, or `NEVER`; `groups`: see `FeatureTable.contents`."""
        folds = fold_of(labels, groups, digests, key_digest(self.seed, "selection fold"))
        alone = ~np.array(judged_classes(labels, folds, len(self.classes)))
        # A class that lies in one fold alone stays in all fits, with all copies: none would know it otherwise.
        folds[np.isin(groups, groups[alone[labels]])] = NEVER
        folds[folds >= -(-self.enough * FOLDS // len(labels))] = NEVER
        present = np.unique(folds[folds != NEVER])
        return np.where(folds == NEVER, NEVER, np.searchsorted(present, folds))


def _evenly(images: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """`most` of the images, evenly over all of them."""
    return images if len(images) <= most else images[np.linspace(0, len(images) - 1, most).astype(np.int64)]


def _blocks(table: FeatureTable, places: npt.NDArray[np.int64]) -> Iterator[Arrays]:
    for start in range(0, len(places), BLOCK):
        rows = places[start : start + BLOCK]
        yield {"features": table.take(rows), "labels": table.labels[rows]}
