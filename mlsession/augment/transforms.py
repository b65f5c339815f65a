"""The pixels of a view: effects with exact values, carried out by albumentations.

Noise, blur, exposure and flips change the square that the network sees. Crops and rotations are made of the upright
picture, larger than that square and reaching beyond it, and then resized as every picture is: so they stay sharp.
"""

from __future__ import annotations

import importlib
import os
import threading
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlsession.augment.identity import missing_augmenter
from mlsession.augment.views import Effect
from mlsession.errors import InternalError
from mlsession.images.geometry import to_square

Pixels = npt.NDArray[np.uint8]

DISPLAY_GAMMA = 2.2
"""Light is the level to this power, to a good approximation of sRGB (IEC 61966-2-1)."""

_NO_CHECK = "NO_ALBUMENTATIONS_UPDATE"
_importing = threading.Lock()


class Augmenter:
    """Makes views; made once, then called from any thread. Making the first one takes seconds."""

    def __init__(self) -> None:
        self._library = _albumentations()

    def apply(self, effect: Effect, square: Pixels, wide: Pixels) -> Pixels:
        """A view, uint8 [side, side, 3], of a picture.

        `square` is the picture as the network sees it, uint8 [side, side, 3]; `wide` is it upright and larger,
        uint8 [H, W, 3]. Neither is changed. The outcome depends on the arguments alone.
        """
        values, side = effect.values, len(square)
        match effect.kind:
            case "blur":
                sigma = values["radius"] * side
                return self._do("GaussianBlur", square, sigma_limit=(sigma, sigma), blur_limit=0)
            case "crop":
                return _fitted(self._cropped(wide, values["side"], values["across"], values["down"]), side)
            case "expose":
                # One stop is twice the light, not twice the level.
                factor = 2.0 ** (values["stops"] / DISPLAY_GAMMA)
                return self._do("MultiplicativeNoise", square, multiplier=(factor, factor))
            case "flip":
                flipped = self._do("HorizontalFlip", square) if values["horizontal"] else square
                return self._do("VerticalFlip", flipped) if values["vertical"] else flipped
            case "noise":
                share = values["deviation"] / 255
                return self._do("GaussNoise", square, seed=int(values["seed"]), std_range=(share, share))
            case "rotate":
                return _fitted(self._rotated(wide, values["degrees"]), side)
        raise InternalError(f"there is no effect {effect.kind}")

    def _cropped(self, wide: Pixels, share: float, across: float, down: float) -> Pixels:
        height, width = wide.shape[:2]
        side = max(round(share * min(height, width)), 1)
        left, top = round(across * (width - side)), round(down * (height - side))
        return self._do("Crop", wide, x_min=left, y_min=top, x_max=left + side, y_max=top + side)

    def _rotated(self, wide: Pixels, degrees: float) -> Pixels:
        # Of a long picture the corners of the middle square are filled with picture; else, and at the edges, it is
        # mirrored: a larger picture without corners (as cutting them off would give) is another change of its own.
        import cv2

        return self._do(
            "Rotate",
            wide,
            limit=(degrees, degrees),
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
        )

    def _do(self, name: str, pixels: Pixels, seed: int = 0, **values: Any) -> Pixels:
        """One transform with exact values; albumentations' own draws, where it makes any, follow from `seed`."""
        transform = getattr(self._library, name)(p=1.0, **values)
        transform.set_random_seed(seed)
        done: Pixels = transform(image=pixels)["image"]
        return np.ascontiguousarray(done)


def _fitted(pixels: Pixels, side: int) -> Pixels:
    return np.array(to_square(Image.fromarray(pixels), side))


def _albumentations() -> ModuleType:
    """The library, loaded without the question over the network that it asks by itself. Raises `UsageError`."""
    with _importing:
        before = os.environ.get(_NO_CHECK)
        os.environ[_NO_CHECK] = "1"
        try:
            return importlib.import_module("albumentations")
        except ImportError as error:
            raise missing_augmenter(f"which cannot be loaded ({error})") from error
        finally:
            if before is None:
                del os.environ[_NO_CHECK]
            else:
                os.environ[_NO_CHECK] = before
