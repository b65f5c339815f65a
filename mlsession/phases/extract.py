"""Extracting: every view of every image becomes one row of features, once; then the images are split.

    for each batch of images, in index order:
        read, digest, decode and extract them and their views (ahead, in threads) -> additive output
    when all images are done: choose those to validate on from the labels and digests of the readable ones

Training images have the views of the plan, those of a validation source only themselves. The split follows from the
contents, so views of images that it holds out have been made by then; they go unused.

Additive output, one row for each view of each image, the image itself first: `features` float16 [D] (zeros where
unreadable), `view` uint8, and of the image `digest` uint8 [32] and `readable` uint8. The last state holds `validation`
and `readable`, uint8 [images].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from mlsession.errors import UnreadableImage, UnusableData
from mlsession.phases.contents import Contents, copies_among, original_facts
from mlsession.phases.corpus import Corpus
from mlsession.phases.featured import Picture
from mlsession.phases.pictures import BATCH
from mlsession.phases.sharing import FeatureSource
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_list
from mlsession.session.phase import Array, Arrays, Json, Notice, Past, PhaseState, Step

ROWS = 32
"""The most rows of a step with augmentation, unless one image has more: with `BATCH` images, steps of seconds."""

Split = Callable[[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64]], npt.NDArray[np.bool_]]
"""(labels int64 [n], digests uint8 [n, 32], rows int64 [n]) of readable training images -> bool [n], True for
validation."""


@dataclass(slots=True)
class _Seen:
    """Small facts about the images done so far."""

    contents: Contents
    skipped: list[Json] = field(default_factory=list)
    rows: int = 0

    @property
    def images(self) -> int:
        return self.contents.images

    def add(self, block: Arrays) -> None:
        """Takes in additive output."""
        self.contents.add(*original_facts(block))
        self.rows += len(block["view"])


class Extracting:
    """The runner of the extracting phase."""

    def __init__(
        self,
        corpus: Corpus,
        featurizer: FeatureSource,
        split: Split,
        past: Past,
        fail_on_bad_image: bool = False,
    ) -> None:
        self._corpus = corpus
        self._featurizer = featurizer
        self._split = split
        self._past = past
        self._fail_on_bad_image = fail_on_bad_image

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        seen = self._restore(state)
        count = len(self._corpus)
        try:
            for pictures in self._batches(seen.images):
                adds = self._extract(pictures)
                seen.add(adds)
                notices = self._notices(pictures, seen)
                last = seen.images == count
                final = self._final_arrays(seen) if last else {}
                yield Step(
                    iteration=self._num_batches(seen.images),
                    total=self._num_batches(count),
                    item_count=seen.images,
                    total_items=count,
                    adds=adds,
                    notices=notices,
                    metrics=self._metrics(),
                    snapshot=partial(_snapshot, seen.rows, tuple(seen.skipped), final),
                    last=last,
                )
                seen.contents.read_on()
        finally:
            seen.contents.close()
            self._featurizer.close()

    @property
    def _images_a_step(self) -> int:
        """Of the training source."""
        views = self._featurizer.num_views
        return BATCH if views == 1 else max(ROWS // views, 1)

    def _batches(self, done: int) -> Iterator[tuple[Picture, ...]]:
        """Both sources' images that are not done yet."""
        corpus, training = self._corpus, len(self._corpus.training.keys)
        yield from self._featurizer.batches(
            range(done, training), corpus.key, corpus.bytes_of, self._images_a_step, augmented=True, stamps=corpus
        )
        rest = range(max(done, training), len(corpus))
        yield from self._featurizer.batches(rest, corpus.key, corpus.bytes_of, stamps=corpus)

    def _num_batches(self, images: int) -> int:
        """In how many batches the first images are done."""
        training = min(images, len(self._corpus.training.keys))
        return -(-training // self._images_a_step) - (training - images) // BATCH

    def _restore(self, state: PhaseState | None) -> _Seen:
        """Nothing that takes longer the more is done: rows are read back later, see `phases.contents`."""
        if state is None:
            return _Seen(Contents(len(self._corpus), self._past))
        with as_written("state of extracting"):
            skipped, rows = list(as_list(state.data["skipped"])), as_count(state.data["rows"])
            images = self._images_of(rows)
            return _Seen(Contents(len(self._corpus), self._past, images, rows), skipped, rows)

    def _images_of(self, rows: int) -> int:
        """How many images have that many rows, from the first on. Raises `ValueError` where none do."""
        training, views = len(self._corpus.training.keys), self._featurizer.num_views
        images, rest = divmod(min(rows, training * views), views)
        images += max(rows - training * views, 0)
        if rest or images > len(self._corpus):
            raise ValueError(f"{rows} rows are not those of whole images of {len(self._corpus)}")
        return images

    def _extract(self, pictures: tuple[Picture, ...]) -> dict[str, Array]:
        views = [picture.num_views for picture in pictures]
        digests = np.frombuffer(b"".join(picture.digest for picture in pictures), dtype=np.uint8)
        readable = np.array([picture.is_readable for picture in pictures], dtype=np.uint8)
        return {
            "features": np.concatenate([picture.features for picture in pictures]),
            "view": np.fromiter(chain.from_iterable(map(range, views)), dtype=np.uint8),
            "digest": digests.reshape(len(pictures), -1).repeat(views, axis=0),
            "readable": readable.repeat(views),
        }

    def _metrics(self) -> dict[str, float]:
        views, reused = self._featurizer.num_views, self._featurizer.num_reused
        return {**({"views": float(views)} if views > 1 else {}), **({"reused": float(reused)} if reused else {})}

    def _notices(self, pictures: tuple[Picture, ...], seen: _Seen) -> tuple[Notice, ...]:
        bad = [picture for picture in pictures if not picture.is_readable]
        if bad and self._fail_on_bad_image:
            raise UnreadableImage(self._corpus.key(bad[0].row), bad[0].reason)
        seen.skipped.extend([picture.row, picture.reason] for picture in bad)
        return tuple(Notice(item=self._corpus.key(picture.row), text=picture.reason) for picture in bad)

    def _final_arrays(self, seen: _Seen) -> dict[str, Array]:
        digests, readable = seen.contents.all()
        labels = self._corpus.labels
        validation = self._corpus.from_validation_source & readable
        if self._corpus.validation is None:
            validation[readable] = self._split(labels[readable], digests[readable], np.flatnonzero(readable))
        self._check_classes(labels[readable & ~validation])
        return {
            "validation": validation.astype(np.uint8),
            "readable": readable.astype(np.uint8),
            "copies": copies_among(digests, readable),
        }

    def _check_classes(self, labels: npt.NDArray[np.int64]) -> None:
        present = set(np.unique(labels).tolist())
        missing = [name for code, name in enumerate(self._corpus.classes) if code not in present]
        if missing:
            raise UnusableData(
                f"class {missing[0]!r}",
                "none of its images can be read; replace them, or remove the folder and start a new session",
            )


def _snapshot(rows: int, skipped: tuple[Json, ...], arrays: dict[str, Array]) -> PhaseState:
    return PhaseState(arrays, {"rows": rows, "skipped": list(skipped)})
