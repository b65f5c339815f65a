"""From an image's bytes to the features of its views: out of the cache, or by decoding it and asking the extractor."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlsession.augment.views import Effect, ViewPlan
from mlsession.data.decode import prepare_image, prepare_wide
from mlsession.errors import UnreadableImage
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.phases.cache import view_key
from mlsession.phases.donation import FeatureRows

if TYPE_CHECKING:
    from mlsession.augment.transforms import Augmenter

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image of a data source with its views, ready for their features."""

    row: int
    """Its place in the source or corpus."""
    digest: bytes
    """SHA-256 of its bytes."""
    pixels: tuple[Pixels | None, ...] = (None,)
    """By view, uint8 [side, side, 3]; None if it cannot be read, or need not be because the cache has its features."""
    reason: str = ""
    """Why it cannot be read; follows from its bytes alone."""

    @property
    def is_readable(self) -> bool:
        return not self.reason

    @property
    def num_views(self) -> int:
        """Rows that it takes: itself, and what augmentation adds."""
        return len(self.pixels)


class Featurizer:
    """Turns images into features. `picture` may be called from any thread, the rest belongs to one."""

    def __init__(
        self,
        load_extractor: Callable[[], FeatureExtractor],
        dimension: int,
        side: int,
        cache: FeatureRows | None,
        views: ViewPlan | None = None,
        augmenter: str = "",
    ) -> None:
        """`views` are those of training images; `augmenter` is the `augmenter_identity` that makes them."""
        self._load_extractor = load_extractor
        self._dimension = dimension
        self._side = side
        self._cache = cache
        self._views = ViewPlan() if views is None else views
        self._augmenter_identity = augmenter
        self._augmenter: Augmenter | None = None
        self._lock = threading.Lock()
        self.num_reused = 0
        """Rows that came out of the cache."""

    @property
    def num_views(self) -> int:
        """Rows of a training image."""
        return len(self._views)

    def picture(self, row: int, key: str, data: bytes, augmented: bool = False) -> Picture:
        """Digest and pixels of an image's bytes; with its views if it is `augmented`."""
        digest = hashlib.sha256(data).digest()
        views = range(self.num_views if augmented else 1)
        wanted = [view for view in views if self._cache is None or not self._cache.contains(self._key(digest, view))]
        try:
            made = self._prepared(data, key, digest, wanted)
        except UnreadableImage as error:
            return Picture(row=row, digest=digest, pixels=(None,) * len(views), reason=error.reason)
        return Picture(row=row, digest=digest, pixels=tuple(made.get(view) for view in views))

    def features(self, pictures: Sequence[Picture], read: Callable[[int], bytes]) -> npt.NDArray[np.float32]:
        """float32 [n, D]: a row for each view of each picture, in order; zeros for those that cannot be read.

        `read(row)` gives the bytes again, for a row whose cached features turn out to be damaged.
        """
        rows = np.zeros((sum(picture.num_views for picture in pictures), self._dimension), dtype=np.float32)
        pending: list[tuple[int, bytes, Pixels]] = []
        asked = ((picture, view) for picture in pictures for view in range(picture.num_views))
        for place, (picture, view) in enumerate(asked):
            if not picture.is_readable:
                continue
            key, pixels = self._key(picture.digest, view), picture.pixels[view]
            if pixels is not None:
                pending.append((place, key, pixels))
            elif (cached := self._reusable(key)) is not None:
                rows[place] = cached
                self.num_reused += 1
            else:
                made = self._prepared(read(picture.row), "image", picture.digest, [view])
                pending.append((place, key, made[view]))
        if pending:
            rows[[place for place, _, _ in pending]] = self._load_extractor().extract(
                np.stack([pixels for _, _, pixels in pending])
            )
            if self._cache is not None:
                for place, key, _ in pending:
                    self._cache.add(key, rows[place])
        return rows

    def close(self) -> None:
        """Writes what the cache still holds back."""
        if self._cache is not None:
            self._cache.close()

    def _reusable(self, key: bytes) -> npt.NDArray[np.float32] | None:
        """A row that need not be computed, if there is one of the right length."""
        cached = None if self._cache is None else self._cache.get(key)
        return cached if cached is not None and cached.shape == (self._dimension,) else None

    def _key(self, digest: bytes, view: int) -> bytes:
        return view_key(self._views, self._augmenter_identity, digest, view)

    def _prepared(self, data: bytes, name: str, digest: bytes, wanted: Collection[int]) -> dict[int, Pixels]:
        """The pixels of some views of an image that is decoded once, or not at all if there are none."""
        if not wanted:
            return {}
        if self._views.needs_wide.isdisjoint(wanted):
            square = wide = prepare_image(data, name, self._side)
        else:
            square, wide = prepare_wide(data, name, self._side)
        made = {}
        for view in wanted:
            made[view] = square if view == 0 else self._augment(self._views.effect(digest, view), square, wide)
        return made

    def _augment(self, effect: Effect, square: Pixels, wide: Pixels) -> Pixels:
        with self._lock:  # Loaded by whichever thread needs it first: not at all where the cache has all views.
            if self._augmenter is None:
                from mlsession.augment.transforms import Augmenter

                self._augmenter = Augmenter()
        return self._augmenter.apply(effect, square, wide)
