"""From an image's bytes to its features: out of the cache, or by decoding it and asking the extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.data.decode import prepare_image
from mlsession.errors import UnreadableImage
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.phases.cache import FeatureCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image of a data source, ready for its features."""

    row: int
    digest: bytes
    """SHA-256 of its bytes."""
    pixels: npt.NDArray[np.uint8] | None = None
    """uint8 [side, side, 3]; None if it cannot be read, or need not be because the cache has its features."""
    reason: str = ""
    """Why it cannot be read; follows from its bytes alone."""

    @property
    def is_readable(self) -> bool:
        return not self.reason


class Featurizer:
    """Turns images into features. `picture` may be called from any thread, the rest belongs to one."""

    def __init__(
        self,
        load_extractor: Callable[[], FeatureExtractor],
        dimension: int,
        side: int,
        cache: FeatureCache | None,
    ) -> None:
        self._load_extractor = load_extractor
        self._dimension = dimension
        self._side = side
        self._cache = cache
        self.num_reused = 0
        """Rows that came out of the cache."""

    def picture(self, row: int, key: str, data: bytes) -> Picture:
        """Digest and pixels of an image's bytes."""
        digest = hashlib.sha256(data).digest()
        if self._cache is not None and self._cache.contains(digest):
            return Picture(row=row, digest=digest)
        try:
            return Picture(row=row, digest=digest, pixels=prepare_image(data, key, self._side))
        except UnreadableImage as error:
            return Picture(row=row, digest=digest, reason=error.reason)

    def features(self, pictures: Sequence[Picture], read: Callable[[int], bytes]) -> npt.NDArray[np.float32]:
        """float32 [n, D] of pictures; zeros for those that cannot be read.

        `read(row)` gives the bytes again, for a row whose cached features turn out to be damaged.
        """
        rows = np.zeros((len(pictures), self._dimension), dtype=np.float32)
        pending: list[tuple[int, bytes, npt.NDArray[np.uint8]]] = []
        for place, picture in enumerate(pictures):
            if picture.pixels is not None:
                pending.append((place, picture.digest, picture.pixels))
            elif picture.is_readable:
                cached = None if self._cache is None else self._cache.get(picture.digest)
                if cached is None:
                    pending.append((place, picture.digest, prepare_image(read(picture.row), "image", self._side)))
                else:
                    rows[place] = cached
                    self.num_reused += 1
        if pending:
            places = [place for place, _, _ in pending]
            rows[places] = self._load_extractor().extract(np.stack([pixels for _, _, pixels in pending]))
            if self._cache is not None:
                for place, digest, _ in pending:
                    self._cache.add(digest, rows[place])
        return rows

    def close(self) -> None:
        """Writes what the cache still holds back."""
        if self._cache is not None:
            self._cache.close()
