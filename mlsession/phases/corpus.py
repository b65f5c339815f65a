"""The images of a session in their fixed order: the training source, then the validation source if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.phases.pictures import Picture, load_picture, read_source_key

_CURE = "put it back, or start a new session folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One source's share of a corpus."""

    keys: Sequence[str]
    labels: npt.NDArray[np.int64]
    """[n]: index into the corpus's classes."""
    read: Callable[[str], bytes]
    """The bytes of a key; called from several threads."""

    def load(self, row: int, side: int) -> Picture:
        """Reads and prepares one image; `row` counts within this part."""
        key = self.keys[row]
        return load_picture(row, key, read_source_key(self.read, key, _CURE), side)


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

    def load(self, row: int, side: int) -> Picture:
        """Reads and prepares the image of a row."""
        part, inner = self._locate(row)
        picture = part.load(inner, side)
        return Picture(row=row, digest=picture.digest, pixels=picture.pixels, reason=picture.reason)

    def _locate(self, row: int) -> tuple[Part, int]:
        first = len(self.training.keys)
        if row < first or self.validation is None:
            return self.training, row
        return self.validation, row - first
