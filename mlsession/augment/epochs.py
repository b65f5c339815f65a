"""What is done to an image in each epoch of a training that sees its pixels: drawn anew, from (seed, epoch, image).

Unlike views (`augment.views`), which are few, kept, and changed in one way each, an image of an epoch may be changed in
several ways: each option is taken with a chance of one half, and draws from all of its range. Of a crop and a rotation
at most one is: both cut out of the whole picture. They come first, the others follow in the order of the options.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlsession.augment.options import AugmentationOption, Crop, Flip, Rotate
from mlsession.augment.views import Effect, drawn
from mlsession.images.decode import STRICT, ReadingRules, prepare_image, prepare_wide
from mlsession.images.geometry import to_square
from mlsession.randomness import keyed_generator

if TYPE_CHECKING:
    from mlsession.augment.transforms import Augmenter

Pixels = npt.NDArray[np.uint8]
CHANCE = 0.5
_CUT = ("crop", "rotate")
"""Effects that are made of the whole picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """What is done to the images of each epoch; pure."""

    options: tuple[AugmentationOption, ...] = ()
    """As `augmentation_options` gives them."""
    seed: int = 0

    def effects(self, epoch: int, image: int) -> tuple[Effect, ...]:
        """What is done to an image, in order; `image` is its number in the session."""
        generator = keyed_generator(self.seed, "epoch augmentation", epoch, image)
        taken = [option for option in self.options if generator.random() < CHANCE]
        cuts = [option for option in taken if isinstance(option, Crop | Rotate)]
        kept = cuts[int(generator.integers(len(cuts))) :][:1] if cuts else []
        others = [option for option in taken if not isinstance(option, Crop | Rotate)]
        return tuple(_effect(option, generator) for option in (*kept, *others))


class EpochMaker:
    """Makes the pictures of a plan; may be used from any thread."""

    def __init__(self, plan: EpochPlan, side: int, rules: ReadingRules = STRICT) -> None:
        """For squares of `side` pixels."""
        self._plan = plan
        self._side = side
        self._rules = rules
        self._lock = threading.Lock()
        self._augmenter: Augmenter | None = None

    def of_file(self, data: bytes, name: str, epoch: int, image: int) -> Pixels:
        """uint8 [side, side, 3] of the image in `data`. Raises `UnreadableImage`; `name` is for that."""
        effects = self._plan.effects(epoch, image)
        if any(effect.kind in _CUT for effect in effects):
            square, wide = prepare_wide(data, name, self._side, self._rules)
        else:
            square = wide = prepare_image(data, name, self._side, self._rules)
        for effect in effects:
            square = self._done(effect, square, wide)
        return square

    def _done(self, effect: Effect, square: Pixels, wide: Pixels) -> Pixels:
        # What numpy does by itself needs no library that takes seconds to load: pixel for pixel the same.
        if effect.kind == "crop":
            return cropped(wide, effect, self._side)
        if effect.kind == "flip":
            return flipped(square, effect)
        with self._lock:
            if self._augmenter is None:
                from mlsession.augment.transforms import Augmenter

                self._augmenter = Augmenter()
        return self._augmenter.apply(effect, square, wide)


def needs_augmenter(options: tuple[AugmentationOption, ...]) -> bool:
    """Whether any of them is done by the library that makes views, see `augment.identity`; pure."""
    return any(not isinstance(option, Crop | Flip) for option in options)


def cropped(wide: Pixels, effect: Effect, side: int) -> Pixels:
    """What `Augmenter.apply` gives for a crop."""
    height, width = wide.shape[:2]
    length = max(round(effect.values["side"] * min(height, width)), 1)
    left, top = (round(effect.values[name] * (size - length)) for name, size in (("across", width), ("down", height)))
    cut = np.ascontiguousarray(wide[top : top + length, left : left + length])
    return np.array(to_square(Image.fromarray(cut), side))


def flipped(square: Pixels, effect: Effect) -> Pixels:
    """What `Augmenter.apply` gives for a flip."""
    turned = square[:, ::-1] if effect.values["horizontal"] else square
    return np.ascontiguousarray(turned[::-1] if effect.values["vertical"] else turned)


def _effect(option: AugmentationOption, generator: np.random.Generator) -> Effect:
    """An effect drawn over all of an option's range."""
    if isinstance(option, Flip):
        return drawn(option, int(generator.integers(option.views)), generator)
    return drawn(replace(option, views=1), 0, generator)
