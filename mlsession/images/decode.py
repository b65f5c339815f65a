"""From the bytes of an image file to upright sRGB pixels, or a reason why not.

    name the format by its first bytes  ->  read the header  ->  refuse what is too large  ->  decode all of it
        ->  look for what the decoder did not notice  ->  sRGB on white (`colour`)  ->  upright

docs/images.md has the rules in a table. A reason follows from the bytes alone: the same file is refused with the same
words in any process that has the same packages. What does not (memory, I/O) is never turned into a reason. Functions
here may run in any number of threads; they change no setting of Pillow's but what `quiet` says.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from mlsession.errors import InvalidParameter, UnreadableImage
from mlsession.images.colour import to_srgb
from mlsession.images.faults import CUT, PARSE_ERRORS, Again, refusal, too_early
from mlsession.images.formats import Format, recognized
from mlsession.images.geometry import ENOUGH, PREPARATION, to_square, to_wide
from mlsession.images.inspection import Inspected
from mlsession.images.orientation import UPRIGHT, orientation
from mlsession.images.quiet import silence_remarks

__all__ = [
    "PIXEL_LIMIT",
    "PREPARATION",
    "STRICT",
    "ReadingRules",
    "SquareAndWide",
    "decode_image",
    "inspect_image",
    "prepare_image",
    "prepare_wide",
]

PIXEL_LIMIT = 225_000_000
"""A picture of so many pixels or more is refused by its header, before memory is taken for it."""

SquareAndWide: TypeAlias = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""What `prepare_wide` gives."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323
"""Tags of TIFF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRules:
    """What is taken for a picture."""

    allow_truncated: bool = False
    """Whether of a file that is cut short the part counts that is there. What is missing is black, of a JPEG grey, and
    white where the picture may be transparent. Of WebP, AVIF, HEIC and JPEG 2000 a part cannot be had."""
    pixel_limit: int = PIXEL_LIMIT
    """So many pixels or more are refused."""

    def __post_init__(self) -> None:
        if not isinstance(self.allow_truncated, bool):
            raise InvalidParameter("allow_truncated", self.allow_truncated, "must be True or False")
        limit = self.pixel_limit
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidParameter("pixel_limit", limit, "must be a whole number of pixels, 1 or more")


STRICT = ReadingRules()


def decode_image(data: bytes, name: str, rules: ReadingRules = STRICT) -> npt.NDArray[np.uint8]:
    """The picture in `data`: uint8 [H, W, 3], upright, sRGB; of an animation or several pages the first.

    `name` is used in errors only. Raises `UnreadableImage` for what is not a picture, is cut short or damaged, is of
    `pixel_limit` pixels or more, or of a kind that is not read.
    """
    return np.array(inspect_image(data, name, rules=rules).picture)


def prepare_image(data: bytes, name: str, side: int = 256, rules: ReadingRules = STRICT) -> npt.NDArray[np.uint8]:
    """The picture in `data` as networks see it: uint8 [side, side, 3]; see `geometry.to_square`.

    The same function serves training and use. `name` is used in errors only.
    Raises `UnreadableImage` as `decode_image` does, `InvalidParameter` for a side below 1.
    """
    return np.array(to_square(inspect_image(data, name, ENOUGH * side, rules).picture, side))


def prepare_wide(data: bytes, name: str, side: int, rules: ReadingRules = STRICT) -> SquareAndWide:
    """What `prepare_image` gives, uint8 [side, side, 3], and the larger picture around it that views are cut out of.

    That is uint8 [H, W, 3]: see `geometry.to_wide`. The file is decoded once. Raises what `prepare_image` raises.
    """
    picture = inspect_image(data, name, ENOUGH * side, rules).picture
    return np.array(to_square(picture, side)), np.array(to_wide(picture, side))


def inspect_image(data: bytes, name: str, enough: int | None = None, rules: ReadingRules = STRICT) -> Inspected:
    """The picture with facts about its file; of a short side that is longer than `enough` pixels perhaps a smaller one.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves `enough`: libjpeg leaves out the finest detail of
    each block of 8x8 (G. K. Wallace, "The JPEG still picture compression standard", 1992), which resizing would average
    away. A photo of 12 megapixels takes a third of the time. Raises `InvalidParameter` besides: see `_check_setting`.
    """
    _check_setting()
    kind, content = recognized(data, name)
    silence_remarks()
    if rules.allow_truncated:
        content += kind.closing
    with _opened(content, name, kind, rules.pixel_limit) as image:
        size = image.size
        _load(image, content, name, kind, enough, rules)
        picture = to_srgb(image, name)
        turn = orientation(image, content)
    width, height = size[::-1] if turn > 4 else size  # 5 to 8 lie on their side.
    upright = picture if turn == 1 else picture.transpose(UPRIGHT[turn])
    return Inspected(picture=upright, width=width, height=height, format=kind.name, orientation=turn)


def _check_setting() -> None:
    """Raises `InvalidParameter` where Pillow is told to pass damaged pictures for whole ones.

    Then the same bytes would give other pixels than elsewhere, and features made of them are kept for other sessions.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        reason = (
            "makes Pillow pass damaged pictures for whole ones; set it to False, and give allow_truncated=True to take "
            "the part that is there"
        )
        raise InvalidParameter("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES, reason)


def _opened(data: bytes, name: str, kind: Format, limit: int) -> ImageFile.ImageFile:
    """The picture with its header read, and not too large."""
    try:
        image = kind.reader(io.BytesIO(data))
    except PARSE_ERRORS as error:
        raise refusal(error, name, kind.name, data) from error
    for width, height in (image.size, _tile_size(image)):
        if width * height >= limit:
            image.close()
            raise UnreadableImage(name, f"too large: {width}x{height} pixels, and {limit:,} or more are refused")
    return image


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Pixels of a tile of a TIFF, for which memory is taken however small the picture is."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _load(
    image: ImageFile.ImageFile, data: bytes, name: str, kind: Format, enough: int | None, rules: ReadingRules
) -> None:
    """Decodes the pixels; all of them, or what there is of a file that is cut short if the rules allow that."""
    try:
        _decode(image, kind, enough)
    except PARSE_ERRORS as error:
        reason = refusal(error, name, kind.name, data)
        if not (rules.allow_truncated and reason.reason.startswith(CUT) and _has_a_part(image)):
            raise reason from error
        return
    flaw = kind.flaw(data, image, _again(data, name, kind, enough))
    if flaw and not (rules.allow_truncated and flaw.startswith(CUT)):
        raise UnreadableImage(name, flaw)
    if rules.allow_truncated and flaw and not _has_a_part(image):
        raise UnreadableImage(name, too_early(kind.name))


def _decode(image: ImageFile.ImageFile, kind: Format, enough: int | None) -> None:
    if enough is not None and kind.has_scales:
        image.draft(None, (enough, enough))
    image.load()


def _has_a_part(image: ImageFile.ImageFile) -> bool:
    """Whether anything was decoded before the data ended: whether any pixel differs from another.

    Pillow then takes the picture for loaded, as it is.
    """
    image.tile = []
    try:
        extrema = image.getextrema()
    except PARSE_ERRORS:
        return False  # It has no pixels yet.
    return any(low != high for low, high in (extrema if isinstance(extrema[0], tuple) else (extrema,)))


def _again(data: bytes, name: str, kind: Format, enough: int | None) -> Again:
    def again(other: bytes) -> bytes | None:
        try:
            with kind.reader(io.BytesIO(other)) as image:
                _decode(image, kind, enough)
                return image.tobytes()
        except PARSE_ERRORS as error:
            refusal(error, name, kind.name, data)
            return None

    return again
