"""The features that a review works on: one row for each readable image as it is, of all sources, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import content_numbers
from mlsession.errors import InternalError
from mlsession.phases.features import BLOCK, halves, let_go, make_room
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Array, Arrays, Past, Phase

SOURCES = ("training", "validation", "test")
"""Where an image comes from: its place here is the code. Images that a split holds out come from "training"."""
TRAINING = SOURCES.index("training")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReviewRows:
    """N images: those of the training source first, then those of others, each in the order of its index."""

    features: Array
    """float16 [N or more, D], of which the first N count; an array of `make_room`."""
    labels: npt.NDArray[np.int64]
    """[N]: places in the classes of the model."""
    digests: npt.NDArray[np.uint8]
    """[N, 32]: SHA-256 of the contents."""
    source: npt.NDArray[np.uint8]
    """[N]: place in `SOURCES`, ascending."""
    place: npt.NDArray[np.int64]
    """[N]: row in the index of that source."""

    def __post_init__(self) -> None:
        count = len(self.labels)
        columns = (self.digests, self.source, self.place)
        if len(self.features) < count or any(len(column) != count for column in columns):
            raise InternalError("review: the columns differ in length")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_training(self) -> int:
        """How many come from the training source: they are the first rows."""
        return int((self.source == TRAINING).sum())

    def blocks(self, chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
        """One pass over chosen rows (bool [N]), in order: their places int64 [n], and features float16 [n, D]."""
        for start in range(0, len(self), BLOCK):
            places = start + np.flatnonzero(chosen[start : start + BLOCK])
            if len(places):
                yield places, self.take(places)

    def take(self, places: npt.NDArray[np.int64]) -> Array:
        """The features of some rows, in their order: float16 [n, D]."""
        taken: Array = self.features[places]
        let_go(self.features)
        return taken


class RowsGathered:
    """Takes rows in, source by source."""

    def __init__(self, count: int) -> None:
        """For at most `count` rows."""
        self._count = count
        self._features: Array = np.empty((0, 0), dtype=np.float16)
        self._done = 0
        self._columns: list[tuple[Array, Array, Array, Array]] = []

    def add(self, features: Array, labels: Array, digests: Array, source: int, places: Array) -> None:
        """The next rows: float16 [n, D], int64 [n], uint8 [n, 32], a place in `SOURCES`, and rows of its index."""
        if not self._columns:
            self._features = make_room(self._count, features.shape[1])
        stop = self._done + len(features)
        self._features[self._done : stop] = halves(features)
        let_go(self._features)
        self._done = stop
        codes = np.full(len(places), source, dtype=np.uint8)
        self._columns.append((labels.astype(np.int64), digests, codes, places.astype(np.int64)))

    def rows(self) -> ReviewRows:
        """All that was taken in. Raises `InternalError` for nothing."""
        if not self._columns:
            raise InternalError("review: there are no rows")
        labels, digests, source, place = (np.concatenate(column) for column in zip(*self._columns, strict=True))
        return ReviewRows(features=self._features, labels=labels, digests=digests, source=source, place=place)


def add_extracted(gathered: RowsGathered, past: Past, labels: npt.NDArray[np.int64], num_training: int) -> None:
    """Takes in what extracting has left of readable images, views of augmentation left out.

    `labels` int64 [M] are those of all its images; the first `num_training` are of the training source, the others of
    a validation source. Raises `DamagedData`.
    """
    done = 0
    with as_written("rows of extracting"):
        for block in past.rows(Phase.EXTRACTING, BLOCK, names=("features", "view", "digest", "readable")):
            original = block["view"] == 0
            image = done + np.arange(int(original.sum()))
            done += len(image)
            if done > len(labels):
                raise ValueError(f"rows of more than {len(labels)} images")
            for source, first, stop in ((0, 0, num_training), (1, num_training, len(labels))):
                mine = block["readable"][original].astype(bool) & (image >= first) & (image < stop)
                if mine.any():
                    features, digests = block["features"][original][mine], block["digest"][original][mine]
                    gathered.add(features, labels[image[mine]], digests, source, image[mine] - first)
        if done != len(labels):
            raise ValueError(f"rows of {done} images in place of {len(labels)}")


class FoldRows:
    """`TrainingRows` of some rows of a review, with labels of their own."""

    def __init__(self, rows: ReviewRows, chosen: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]) -> None:
        """`chosen` bool [N]; `labels` int64 [N] take the place of those of the rows."""
        self._rows = rows
        self._chosen = chosen
        self._labels = labels
        self._places = np.flatnonzero(chosen)

    def __len__(self) -> int:
        return len(self._places)

    def __call__(self) -> Iterator[Arrays]:
        for places, features in self._rows.blocks(self._chosen):
            yield {"features": features, "labels": self._labels[places]}

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self._labels[self._places]

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        return content_numbers(self._rows.digests[self._places])

    @property
    def is_grouped(self) -> bool:
        return False

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self), dtype=np.bool_)

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        rows = self._places[places]
        return {"features": self._rows.take(rows), "labels": self._labels[rows]}
