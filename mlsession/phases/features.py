"""The extracted features on this machine: read once from the store, checked, then passed over many times."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import content_numbers
from mlsession.data.together import ties_of
from mlsession.errors import InternalError, StoreFull
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count
from mlsession.session.phase import Array, Arrays, Past, Phase, PhaseState
from mlsession.store.failures import FULL_NUMBERS

BLOCK = 4_096
"""Rows are read and consumed in blocks of this many, wherever shards and commits fell."""
MEMORY_BYTES = 256 * 2**20
"""Features beyond this size lie in a temporary file, not in memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """One row for each view of each image: images in index order, the views of one together, the image itself first.

    Features stay as they are stored, float16, and whoever computes with them widens a block at a time. Half precision
    costs no accuracy: trained on 555 photos of ten classes, over five seeds, logistic regression gave each of 200 test
    photos the label that it gave it with the same features in float32 (see `benchmarks/feature_precision.py`).
    Rounding moves a feature by at most 2**-11 of itself; doing the network's arithmetic in bfloat16 moves it ten times
    as far. It halves what is stored, sent and read.
    """

    features: Array
    """float16 [N, D]; to be read with `rows` and `take`, which keep a mapped file from filling the memory."""
    labels: npt.NDArray[np.int64]
    """[N]."""
    image: npt.NDArray[np.int64]
    """[N]: the place in the corpus of the image that a row is a view of."""
    digests: npt.NDArray[np.uint8]
    """[images, 32]: of each image, at its place in the corpus, the SHA-256 of its file."""
    original: npt.NDArray[np.bool_]
    """[N]: rows of images as they are, one for each image."""
    training: npt.NDArray[np.bool_]
    """[N]: readable rows to train on, augmented ones among them."""
    validation: npt.NDArray[np.bool_]
    """[N]: readable rows held out: originals only. Other views of those images are neither this nor `training`."""
    groups: npt.NDArray[np.int64] | None = None
    """[training images]: the same number for those that belong together; None where only copies do."""

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        """[images]: a number that copies have in common, and training images that belong together."""
        numbers = content_numbers(self.digests)
        if self.groups is not None:
            # Of those that were read alone: the others have no contents.
            images = self.image[self.training & self.original]
            numbers[images] = numbers[images][ties_of(self.groups[images], self.digests[images])]
        return numbers

    @property
    def view(self) -> npt.NDArray[np.int64]:
        """[N]: which view of its image a row is, 0 of the image itself."""
        firsts = np.flatnonzero(self.original)
        view: npt.NDArray[np.int64] = np.arange(len(self.original)) - firsts[np.cumsum(self.original) - 1]
        return view

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Iterator[Arrays]:
        """One pass over the chosen rows, in index order: `features` float16 [n, D] and `labels` int64 [n]."""
        for start in range(0, len(self.labels), BLOCK):
            mask = chosen[start : start + BLOCK]
            if mask.any():
                block = slice(start, start + BLOCK)
                yield {"features": self.features[block][mask], "labels": self.labels[block][mask]}
                let_go(self.features)

    def of_views(self, views: Collection[int]) -> FeatureTable:
        """The same table, of which only these views are trained on; what is held out stays."""
        return replace(self, training=self.training & np.isin(self.view, list(views)))

    def take(self, rows: npt.NDArray[np.int64]) -> Array:
        """The features of some rows, in their order: float16 [n, D]."""
        taken: Array = self.features[rows]
        let_go(self.features)
        return taken


def load_features(past: Past, labels: npt.NDArray[np.int64]) -> FeatureTable:
    """Reads what extracting has left, through the shard codec; `labels` are those of the corpus's images.

    Raises `DamagedData`.
    """
    with as_written("state of extracting"):
        return _loaded(past, past.state(Phase.EXTRACTING), labels)


def _loaded(past: Past, state: PhaseState, labels: npt.NDArray[np.int64]) -> FeatureTable:
    count = as_count(state.data["rows"])
    features, original, done = None, np.zeros(0, dtype=np.bool_), 0
    digests: list[npt.NDArray[np.uint8]] = []
    for block in past.rows(Phase.EXTRACTING, BLOCK, names=("features", "view", "digest")):
        if features is None:
            features, original = make_room(count, block["features"].shape[1]), np.zeros(count, dtype=np.bool_)
        place = slice(done, done + len(block["view"]))
        features[place] = halves(block["features"])
        original[place] = block["view"] == 0
        digests.append(block["digest"][block["view"] == 0])
        done = place.stop
        let_go(features)
    if features is None or done != count or original.sum() != len(labels):
        raise InternalError(f"extracting left {done} rows of {count}, for {len(labels)} images")
    image = np.cumsum(original) - 1
    readable, held_out = (state.arrays[name].astype(bool)[image] for name in ("readable", "validation"))
    return FeatureTable(
        features=features,
        labels=labels[image],
        image=image,
        digests=np.concatenate(digests),
        original=original,
        training=readable & ~held_out,
        validation=readable & held_out & original,
    )


def halves(features: Array) -> Array:
    """The features of a block of extraction's output, float16 [n, D]. Raises `ValueError` for another type."""
    if features.dtype != np.float16 or features.ndim != 2:
        raise ValueError(f"features are float16 [n, D], and these {features.dtype} {features.shape}")
    return features


def make_room(rows: int, width: int, dtype: npt.DTypeLike = np.float16) -> Array:
    """Uninitialised [rows, width]: in memory, or in a temporary file where it is large."""
    size = rows * width * np.dtype(dtype).itemsize
    if size <= MEMORY_BYTES:
        return np.empty((rows, width), dtype=dtype)
    # The file has no name: it goes when the array does, or the process, however that ends.
    with tempfile.TemporaryFile(prefix="mlsession-features-") as file:
        _reserve(file.fileno(), size)
        return np.memmap(file, dtype=dtype, mode="w+", shape=(rows, width))


def let_go(features: Array) -> None:
    """Takes what was read or written of an array of `make_room` out of this process's memory; it stays in its file.

    The system would do so when memory is short. Until then a job would seem to need as much as it has features, and
    whoever limits it by that would end it. Nothing for an array in memory, and where the system does not know it.
    """
    mapping: object = features.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _reserve(descriptor: int, num_bytes: int) -> None:
    """Makes a file as large as it will be. Raises `StoreFull` where its disk has no room for it.

    A mapped file may have holes, and who fills one on a full disk is killed by a signal (SIGBUS), without a word.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, num_bytes)
    except OSError as error:
        if error.errno in FULL_NUMBERS:
            raise StoreFull(
                f"{tempfile.gettempdir()}: {error.strerror}; the features need {num_bytes / 2**20:,.0f} MiB there: "
                "free some space, or name another folder in the environment variable TMPDIR, then run the same command "
                "again"
            ) from error
        # Whatever else forbids it says nothing about the space.
