"""An image and the features of its views: what a featurizer gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.extractors.halves import Halves
from mlsession.store.stamps import NO_STAMP


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One image of a data source, and the features of its views."""

    row: int
    """Its place in the source."""
    digest: bytes
    """SHA-256 of its bytes."""
    features: Halves
    """float16 [views, D], itself first; zeros if it cannot be read."""
    reason: str = ""
    """Why it cannot be used; follows from its bytes, and from the network, alone."""
    made: tuple[int, ...] = ()
    """The views whose features were computed; those of the others were at hand."""
    stamp: bytes = NO_STAMP
    """What its file was known by when these bytes were read; empty where it was not read, or is not known by one."""

    @property
    def is_readable(self) -> bool:
        return not self.reason

    @property
    def num_views(self) -> int:
        """Rows that it takes: itself, and what augmentation adds."""
        return len(self.features)


def readable_rows(pictures: Sequence[Picture]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows of those pictures that can be read, int64 [n], and their own features, float32 [n, D]."""
    readable = [picture for picture in pictures if picture.is_readable]
    width = pictures[0].features.shape[1]
    features = np.array([picture.features[0] for picture in readable], dtype=np.float32).reshape(-1, width)
    return np.array([picture.row for picture in readable], dtype=np.int64), features


def readable_views(pictures: Sequence[Picture]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows of those pictures that can be read, int64 [n], and the features of their views, float32 [n, V, D]."""
    readable = [picture for picture in pictures if picture.is_readable]
    shape = pictures[0].features.shape
    views = np.array([picture.features for picture in readable], dtype=np.float32).reshape(-1, *shape)
    return np.array([picture.row for picture in readable], dtype=np.int64), views
