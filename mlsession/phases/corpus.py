"""The images of a session in their fixed order: the training source, then the validation source if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.phases.listed import ListedImages


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(ListedImages):
    """One source's share of a corpus."""

    labels: npt.NDArray[np.int64]
    """[n]: index into the corpus's classes."""


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

    def stamps_of(self, rows: Sequence[int]) -> list[bytes]:
        """As of their parts; `rows` ascend."""
        first = len(self.training.keys)
        own, rest = [row for row in rows if row < first], [row - first for row in rows if row >= first]
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
