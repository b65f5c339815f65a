"""Rows to fit heads on: overlapping clusters of non-negative features, as a backbone gives them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mlsession.heads.blocks import Rows
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays, PhaseState


def clusters(count: int, features: int, classes: int, seed: int = 0) -> tuple[Array, Array]:
    """float32 [count, features] and int64 [count]; every class has a row."""
    generator = keyed_generator(seed, "clusters")
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, count - classes)])
    centres = generator.normal(size=(classes, features))
    values = np.maximum(centres[labels] + 2.0 * generator.normal(size=(count, features)), 0)
    # Features of very different scale and offset, one of them constant.
    values = values * np.exp(generator.normal(size=features)) + generator.normal(size=features)
    values[:, 0] = 0.1
    return values.astype(np.float32), labels.astype(np.int64)


def rows_of(features: Array, labels: Array, batch: int | None = None) -> Rows:
    """A pass in batches of `batch` rows; all at once by default."""

    def rows() -> Iterator[Arrays]:
        step = batch or max(len(labels), 1)
        for start in range(0, len(labels), step):
            yield {"features": features[start : start + step], "labels": labels[start : start + step]}

    return rows


def names(count: int) -> list[str]:
    """Names of classes."""
    return [f"class {place}" for place in range(count)]


class RowsInMemory:
    """`TrainingRows` of two arrays; a pass comes in batches of `batch` rows, each an image of its own by default."""

    def __init__(
        self,
        features: Array,
        labels: Array,
        batch: int | None = None,
        contents: npt.NDArray[np.int64] | None = None,
        originals: npt.NDArray[np.bool_] | None = None,
        is_grouped: bool = False,
    ) -> None:
        self._features = features
        self._labels = labels
        self._contents = contents
        self._originals = originals
        self._is_grouped = is_grouped
        self._pass = rows_of(features, labels, batch)

    def __len__(self) -> int:
        return len(self._labels)

    def __call__(self) -> Iterator[Arrays]:
        return self._pass()

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self._labels

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        return np.arange(len(self), dtype=np.int64) if self._contents is None else self._contents

    @property
    def is_grouped(self) -> bool:
        return self._is_grouped

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self), dtype=np.bool_) if self._originals is None else self._originals

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        return {"features": self._features[places], "labels": self._labels[places]}


def misplaced(array: Array) -> Array:
    """A read-only copy that begins one element after an aligned address, as a store may hand it back."""
    space = np.empty(array.size + 65, dtype=array.dtype)
    start = (-space.ctypes.data // array.itemsize) % (64 // array.itemsize) + 1
    moved = space[start : start + array.size].reshape(array.shape)
    moved[...] = array
    moved.setflags(write=False)
    return moved


def stored(state: PhaseState) -> PhaseState:
    """A state as it may come back from a store."""
    return PhaseState({name: misplaced(array) for name, array in state.arrays.items()}, state.data)


def same_bits(first: PhaseState, second: PhaseState) -> bool:
    assert first.arrays.keys() == second.arrays.keys()
    return first.data == second.data and all(
        first.arrays[name].dtype == second.arrays[name].dtype
        and first.arrays[name].tobytes() == second.arrays[name].tobytes()
        for name in first.arrays
    )
