"""The images of a session in their fixed order: the training source, then the validation source if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mlsession.errors import KeyMissing, ModifiedTrainingData
from mlsession.store.stamps import NO_STAMP

T = TypeVar("T")
_CURE = "put it back, or start a new session folder"


class Stamping(Protocol):
    """What knows the images of a source by stamps (see `mlsession.store.stamps`), by key."""

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """What the files of images are known by now; empty where nothing is known."""
        ...

    def read_stamped(self, key: str) -> tuple[bytes, bytes]:
        """The bytes of an image, and the stamp that stands for them; empty for none."""
        ...


class StampedRows(Protocol):
    """The same by row."""

    def stamps_of(self, rows: range) -> list[bytes]: ...

    def stamped(self, row: int) -> tuple[bytes, bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One source's share of a corpus."""

    keys: Sequence[str]
    labels: npt.NDArray[np.int64]
    """[n]: index into the corpus's classes."""
    read: Callable[[str], bytes]
    """The bytes of a key; called from several threads."""
    is_shared: Callable[[], bool] | None = None
    """Whether many reads at once cost no more than few, see `worked_batches`; None: they do."""

    stamping: Stamping | None = None
    """None where images are known by their bytes alone."""

    def bytes_of(self, row: int) -> bytes:
        """The bytes of an image; `row` counts within this part.

        Raises `ModifiedTrainingData` for one that the index has and the source has not any more.
        """
        return self._read(row, self.read)

    def stamps_of(self, rows: range) -> list[bytes]:
        """What the files of images, one after the other, are known by now; empty where nothing is known."""
        if self.stamping is None or not rows:
            return [NO_STAMP] * len(rows)
        return self.stamping.stamps(list(self.keys[rows.start : rows.stop]))

    def stamped(self, row: int) -> tuple[bytes, bytes]:
        """The bytes of an image, and the stamp that stands for them, empty for none. Raises as `bytes_of` does."""
        return (self.bytes_of(row), NO_STAMP) if self.stamping is None else self._read(row, self.stamping.read_stamped)

    def _read(self, row: int, read: Callable[[str], T]) -> T:
        key = self.keys[row]
        try:
            return read(key)
        except KeyMissing as error:
            raise ModifiedTrainingData(added=(), removed=(key,), relabeled=(), replaced=(), cure=_CURE) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """All images that a session extracts; rows are numbered through both parts."""

    classes: tuple[str, ...]
    training: Part
    validation: Part | None = None
    """A source given for validation; None where validation images are split off the training source."""

    def __len__(self) -> int:
        return len(self.training.keys) + (len(self.validation.keys) if self.validation else 0)

    @property
    def is_shared(self) -> Callable[[], bool] | None:
        """As of both sources: where one of them is not, each reader opens a handle of its own on that."""
        parts = [self.training, *([self.validation] if self.validation else [])]
        asked = [part.is_shared for part in parts if part.is_shared is not None]
        return (lambda: all(ask() for ask in asked)) if len(asked) == len(parts) else None

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """[N]: index into `classes`."""
        parts = [self.training.labels, *([self.validation.labels] if self.validation else [])]
        return np.concatenate(parts)

    @property
    def from_validation_source(self) -> npt.NDArray[np.bool_]:
        """[N]: which rows come from the validation source."""
        return np.arange(len(self)) >= len(self.training.keys)

    def key(self, row: int) -> str:
        """The key of a row, relative to its source's root."""
        part, inner = self._locate(row)
        return part.keys[inner]

    def bytes_of(self, row: int) -> bytes:
        """The bytes of the image of a row. Raises `ModifiedTrainingData` if it is gone."""
        part, inner = self._locate(row)
        return part.bytes_of(inner)

    def stamps_of(self, rows: range) -> list[bytes]:
        """As of their parts."""
        first = len(self.training.keys)
        own = range(min(rows.start, first), min(rows.stop, first))
        rest = range(max(rows.start, first) - first, max(rows.stop, first) - first)
        return self.training.stamps_of(own) + (self.validation.stamps_of(rest) if self.validation else [])

    def stamped(self, row: int) -> tuple[bytes, bytes]:
        """As of its part."""
        part, inner = self._locate(row)
        return part.stamped(inner)

    def _locate(self, row: int) -> tuple[Part, int]:
        first = len(self.training.keys)
        if row < first or self.validation is None:
            return self.training, row
        return self.validation, row - first
