"""The images of fine-tuning: which there are, and their pixels, read and decoded ahead of the turns that need them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mlsession.augment.epochs import EpochMaker, EpochPlan
from mlsession.errors import ModifiedTrainingData
from mlsession.images.decode import STRICT, ReadingRules, prepare_image
from mlsession.phases.corpus import Corpus
from mlsession.phases.features import FeatureTable
from mlsession.phases.pictures import Read, Share, worked_batches

CHUNK = 8
"""Images that a thread decodes at a time."""
_CURE = "put the images back as they were, or start a new session folder"

Pixels = npt.NDArray[np.uint8]
_Made: TypeAlias = Callable[[bytes, int], Pixels]
"""From the bytes of the image of a row to its pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TuningImages:
    """The readable images of a session on either side of its split, in index order."""

    training: npt.NDArray[np.int64]
    """[n]: their rows in the corpus."""
    validation: npt.NDArray[np.int64]
    """[m]: likewise."""
    digests: npt.NDArray[np.uint8]
    """[images, 32]: the SHA-256 of each image's file, as it was extracted, by row of the corpus."""

    @classmethod
    def of(cls, table: FeatureTable) -> TuningImages:
        """Those of a session that has extracted: images that cannot be read are left out as they were there."""
        original = table.original
        return cls(
            training=table.image[table.training & original],
            validation=table.image[table.validation],
            digests=table.digests,
        )


class PictureStream:
    """Reads and decodes images in threads; their number changes the speed alone."""

    def __init__(
        self,
        corpus: Corpus,
        images: TuningImages,
        plan: EpochPlan,
        side: int,
        rules: ReadingRules = STRICT,
        neighbours: int = 1,
    ) -> None:
        """For squares of `side` pixels; `neighbours`: processes that share this machine's processors."""
        self._corpus = corpus
        self._images = images
        self._maker = EpochMaker(plan, side, rules)
        self._side = side
        self._rules = rules
        self._share = Share(neighbours=neighbours)

    def training(self, epoch: int, turns: Sequence[npt.NDArray[np.int64]]) -> Iterator[Pixels]:
        """For each of some turns of an epoch its images as that epoch has them, uint8 [n, side, side, 3].

        A turn is rows of the corpus. Raises what reading raises, and `ModifiedTrainingData` for an image that is
        not what was extracted.
        """

        def made(data: bytes, row: int) -> Pixels:
            return self._maker.of_file(data, self._corpus.key(row), epoch, row)

        return self._turns(turns, made)

    def validation(self, turns: Sequence[npt.NDArray[np.int64]]) -> Iterator[Pixels]:
        """The same of images as they are."""

        def made(data: bytes, row: int) -> Pixels:
            return prepare_image(data, self._corpus.key(row), self._side, self._rules)

        return self._turns(turns, made)

    def _turns(self, turns: Sequence[npt.NDArray[np.int64]], made: _Made) -> Iterator[Pixels]:
        rows = np.concatenate([*turns, np.empty(0, dtype=np.int64)])

        def read(place: int) -> bytes:
            return self._corpus.bytes_of(int(rows[place]))

        def work(batch: Sequence[tuple[int, Read]]) -> list[Pixels]:
            return [self._checked(read_bytes(), int(rows[place]), made) for place, read_bytes in batch]

        found = worked_batches(range(len(rows)), read, work, CHUNK, is_shared=self._corpus.is_shared, share=self._share)
        ready: list[Pixels] = []
        try:
            for turn in turns:
                while len(ready) < len(turn):
                    ready += next(found)
                yield _stacked(ready[: len(turn)], self._side)
                del ready[: len(turn)]
        finally:
            if isinstance(found, Generator):
                found.close()

    def _checked(self, data: bytes, row: int, made: _Made) -> Pixels:
        """An image's pixels, if its bytes are still those whose features the head was trained on."""
        if hashlib.sha256(data).digest() != self._images.digests[row].tobytes():
            key = self._corpus.key(row)
            raise ModifiedTrainingData(added=(), removed=(), relabeled=(), replaced=(key,), cure=_CURE)
        return made(data, row)


def _stacked(pictures: Sequence[Pixels], side: int) -> Pixels:
    return np.stack(pictures) if pictures else np.empty((0, side, side, 3), dtype=np.uint8)
