"""From a picture to the pixels of its views: decoded once, however many views are wanted of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlsession.augment.views import ViewPlan
from mlsession.images.decode import STRICT, ReadingRules, SquareAndWide, prepare_image, prepare_wide
from mlsession.images.geometry import to_square, to_wide

if TYPE_CHECKING:
    from mlsession.augment.transforms import Augmenter

Pixels = npt.NDArray[np.uint8]

Together: TypeAlias = Callable[[Sequence[bytes], bool], Sequence[SquareAndWide | None]]
"""Decodes some files at once, on a device: of each what `prepare_wide` gives, None where it is left to that.

True asks for the wide pictures, too. What becomes of a file depends on its bytes alone.
"""


class ViewMaker:
    """Makes the views of a plan; may be used from any thread.

    What changes pixels is loaded by whichever thread needs it first: not at all where view 0 is all that is wanted.
    """

    def __init__(
        self, plan: ViewPlan, side: int, rules: ReadingRules = STRICT, together: Together | None = None
    ) -> None:
        """For squares of `side` pixels; `together` decodes files before Pillow is asked."""
        self.plan = plan
        self._side = side
        self._rules = rules
        self._together = together
        self._lock = threading.Lock()
        self._augmenter: Augmenter | None = None

    def decoded(self, files: Mapping[bytes, bytes], views: Collection[int]) -> dict[bytes, SquareAndWide | None]:
        """What is decoded together of some files, by their digests, to make some of these `views`: see `of_file`."""
        if self._together is None or not files:
            return {}
        found = self._together(list(files.values()), not self.plan.needs_wide.isdisjoint(views))
        return dict(zip(files, found, strict=True))

    def of_file(
        self,
        data: bytes,
        name: str,
        digest: bytes,
        wanted: Collection[int],
        decoded: Mapping[bytes, SquareAndWide | None] = MappingProxyType({}),
    ) -> dict[int, Pixels]:
        """By view uint8 [side, side, 3], of the image in `data`, whose SHA-256 is `digest`; no view, nothing decoded.

        `decoded` is what `decoded` gave of files, this one perhaps among them. Raises `UnreadableImage`, for which
        `name` is.
        """
        if not wanted:
            return {}
        known = decoded if digest in decoded else self.decoded({digest: data}, wanted)
        if (pair := known.get(digest)) is not None:
            square, wide = pair
        elif self.plan.needs_wide.isdisjoint(wanted):
            square = wide = prepare_image(data, name, self._side, self._rules)
        else:
            square, wide = prepare_wide(data, name, self._side, self._rules)
        return self._made(square, wide, digest, wanted)

    def of_pixels(self, upright: Pixels, digest: bytes, wanted: Collection[int]) -> dict[int, Pixels]:
        """The same of RGB pixels uint8 [H, W, 3]; `digest` names them."""
        picture = Image.fromarray(np.ascontiguousarray(upright))
        square = wide = np.array(to_square(picture, self._side))
        if not self.plan.needs_wide.isdisjoint(wanted):
            wide = np.array(to_wide(picture, self._side))
        return self._made(square, wide, digest, wanted)

    def _made(self, square: Pixels, wide: Pixels, digest: bytes, wanted: Collection[int]) -> dict[int, Pixels]:
        return {view: square if view == 0 else self._changed(view, square, wide, digest) for view in wanted}

    def _changed(self, view: int, square: Pixels, wide: Pixels, digest: bytes) -> Pixels:
        with self._lock:
            if self._augmenter is None:
                from mlsession.augment.transforms import Augmenter

                self._augmenter = Augmenter()
        return self._augmenter.apply(self.plan.effect(digest, view), square, wide)
