"""Features that need not be computed: those of a cache or a donor, by content and view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsession.augment.views import ViewPlan
from mlsession.extractors.halves import Halves
from mlsession.phases.cache import view_key
from mlsession.phases.donation import FeatureRows
from mlsession.phases.featured import Picture


class AtHand:
    """Rows of `dimension` features; from any thread."""

    def __init__(self, rows: FeatureRows | None, views: ViewPlan, augmenter: str, dimension: int) -> None:
        """`views` are made by the `augmenter_identity` `augmenter`."""
        self._rows = rows
        self._views = views
        self._augmenter = augmenter
        self._dimension = dimension

    def key(self, digest: bytes, view: int) -> bytes:
        """What a row goes by: see `view_key`."""
        return view_key(self._views, self._augmenter, digest, view)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Halves]:
        """Those of the keys whose rows are at hand, float16 [D]."""
        if self._rows is None:
            return {}
        hits, rows = self._rows.lookup(keys)
        if rows.shape[1] != self._dimension:
            return {}
        found = iter(rows)
        return {key: next(found) for key, hit in zip(keys, hits.tolist(), strict=True) if hit}

    def pictures(self, rows: Sequence[int], digests: Sequence[bytes], views: range) -> tuple[Picture, ...] | None:
        """The images of some rows by the SHA-256 of their bytes; None unless all views of all of them are at hand."""
        if self._rows is None:
            return None
        hits, found = self._rows.lookup([self.key(digest, view) for digest in digests for view in views])
        if not hits.all() or found.shape[1] != self._dimension or not np.isfinite(found).all():
            return None
        features = found.reshape(len(rows), len(views), self._dimension)
        return tuple(
            Picture(row=row, digest=digest, features=each)
            for row, digest, each in zip(rows, digests, features, strict=True)
        )

    def add(self, picture: Picture) -> None:
        """Takes in what was computed of an image."""
        if self._rows is not None and picture.is_readable:
            for view in picture.made:
                self._rows.add(self.key(picture.digest, view), picture.features[view])

    def close(self) -> None:
        """Writes what is held back; idempotent."""
        if self._rows is not None:
            self._rows.close()
