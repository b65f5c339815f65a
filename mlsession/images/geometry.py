"""From a picture of any shape to the square that every network sees.

One resampler for training, prediction and evaluation; its name is part of the identity of whatever is made with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.errors import InvalidParameter

if TYPE_CHECKING:
    from PIL import Image

PREPARATION = "pillow-bilinear-square/2"
"""Names decoding and geometry together; the revision rises with any change that can change a pixel."""

ENOUGH = 2
"""A picture is decoded with this many times the pixels in each direction that are wanted of it, or with all it has."""


def square_box(width: int, height: int) -> tuple[float, float, float, float]:
    """The centred square (left, upper, right, lower) with the picture's short side, in pixels.

    The edges may fall between pixels: half a pixel off would shift the picture, and the resampler takes fractions.
    """
    short = min(width, height)
    left = (width - short) / 2
    upper = (height - short) / 2
    return left, upper, left + short, upper + short


def to_square(picture: Image.Image, side: int) -> Image.Image:
    """Short side to `side`, antialiased bilinear, and the centre `side` x `side` of the outcome.

    Both in one pass: resizing everything and cutting the middle out gives the same picture, but computes margins that
    are then thrown away. `picture` is RGB of any size from 1x1; a smaller one is enlarged. Raises `InvalidParameter`.
    """
    if side < 1:
        raise InvalidParameter("side", side, "must be at least 1 pixel")
    # The identity above is asked for where no picture is, so Pillow is not loaded for it.
    from PIL import Image

    return picture.resize((side, side), Image.Resampling.BILINEAR, box=square_box(*picture.size))


def wide_frame(width: int, height: int, side: int) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """The size (width, height) of what `to_wide` gives, and which part of the picture that is, as `square_box`."""
    short = min(width, height)
    kept_width, kept_height = min(width, 2 * short), min(height, 2 * short)
    left, upper = (width - kept_width) / 2, (height - kept_height) / 2
    scale = min(2 * side / short, 1.0)
    size = (max(round(kept_width * scale), 1), max(round(kept_height * scale), 1))
    return size, (left, upper, left + kept_width, upper + kept_height)


def to_wide(picture: Image.Image, side: int) -> Image.Image:
    """The picture, for cutting squares of `side` out of it: bounded in size, and sharp enough for squares half as wide.

    Of one longer than 2:1 the middle is taken; the short side is reduced to at most twice `side`, and never enlarged.
    """
    from PIL import Image

    size, box = wide_frame(*picture.size, side)
    return picture.resize(size, Image.Resampling.BILINEAR, box=box)
