"""From the bytes of an image file to upright sRGB pixels, or a reason why not.

    name the format by its first bytes  ->  read the header  ->  refuse what is too large  ->  decode all of it
        ->  sRGB on white (`colour`)  ->  upright by Exif

A reason follows from the bytes alone: the same file is refused with the same words in any process. What does not
(memory, I/O) is never turned into a reason. Functions here may run in any number of threads; they change no setting
of Pillow's.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from mlsession.errors import UnreadableImage
from mlsession.images.colour import to_srgb
from mlsession.images.geometry import ENOUGH, PREPARATION, to_square, to_wide

__all__ = ["PIXEL_LIMIT", "PREPARATION", "decode_image", "prepare_image", "prepare_wide"]

PIXEL_LIMIT = 225_000_000
"""A picture of so many pixels or more is refused by its header, before memory is taken for it."""

_ORIENTATION_TAG = 0x0112

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of Exif 2.32, section 4.6.4; 1 and values that do not exist are as stored."""

_PARSE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's readers raise for damaged bytes. MemoryError is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """One kind of file: how its first bytes look, and Pillow's reader of it."""

    name: str
    begins: Callable[[bytes], bool]
    reader: Callable[[io.BytesIO], ImageFile.ImageFile]
    feature: str | None = None
    """The part of Pillow that a build may lack."""
    is_whole: Callable[[bytes], bool] = lambda data: True
    """A check of the whole file, for what the reader does not notice."""


def _brands(data: bytes) -> frozenset[bytes]:
    """The brands that an ISO base media file names in its `ftyp` box; none if it is not such a file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return frozenset(data[start : start + 4] for start in (8, *range(16, end, 4)))


def _png_is_whole(data: bytes) -> bool:
    """Whether the checksums of all image data match.

    Pillow stops at the last row, so it takes what a lost write leaves (a file of the right length whose tail is
    zeros) for black rows.
    """
    view = memoryview(data)
    start = 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        kind = bytes(view[start + 4 : start + 8])
        if kind == b"IDAT" and zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            break
        start = end + 4
    return True


# Formats are told by their signatures, never by names: and only these, since some of Pillow's other readers take
# nearly any bytes for a picture, or start other programs. Readers are called directly because `Image.open` may warn or
# refuse by a global limit that belongs to the application.
_FORMATS = (
    _Format(name="JPEG", begins=lambda data: data.startswith(b"\xff\xd8\xff"), reader=JpegImagePlugin.JpegImageFile),
    _Format(
        name="PNG",
        begins=lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
        reader=PngImagePlugin.PngImageFile,
        is_whole=_png_is_whole,
    ),
    _Format(
        name="GIF", begins=lambda data: data.startswith((b"GIF87a", b"GIF89a")), reader=GifImagePlugin.GifImageFile
    ),
    _Format(
        name="WebP",
        begins=lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
        reader=WebPImagePlugin.WebPImageFile,
        feature="webp",
    ),
    _Format(
        name="AVIF",
        begins=lambda data: not _brands(data).isdisjoint((b"avif", b"avis")),
        reader=AvifImagePlugin.AvifImageFile,
        feature="avif",
    ),
    _Format(
        name="TIFF",
        begins=lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        reader=TiffImagePlugin.TiffImageFile,
    ),
    _Format(name="BMP", begins=lambda data: data.startswith(b"BM"), reader=BmpImagePlugin.BmpImageFile),
    _Format(
        name="PNM",
        begins=lambda data: data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace(),
        reader=PpmImagePlugin.PpmImageFile,
    ),
    _Format(
        name="JPEG 2000",
        begins=lambda data: data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")),
        reader=Jpeg2KImagePlugin.Jpeg2KImageFile,
        feature="jpg_2000",
    ),
    _Format(name="ICO", begins=lambda data: data.startswith(b"\0\0\1\0"), reader=IcoImagePlugin.IcoImageFile),
)


def decode_image(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The picture in `data`: uint8 [H, W, 3], upright, sRGB; of an animation or several pages the first.

    `name` is used in errors only. Raises `UnreadableImage` for what is not a picture, is cut short or damaged, is of
    `PIXEL_LIMIT` pixels or more, or of a kind that is not read.
    """
    return np.array(_decoded(data, name))


def prepare_image(data: bytes, name: str, side: int = 256) -> npt.NDArray[np.uint8]:
    """The picture in `data` as networks see it: uint8 [side, side, 3]; see `geometry.to_square`.

    The same function serves training and use. `name` is used in errors only.
    Raises `UnreadableImage` as `decode_image` does, `InvalidParameter` for a side below 1.
    """
    return np.array(to_square(_decoded(data, name, ENOUGH * side), side))


def prepare_wide(data: bytes, name: str, side: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """What `prepare_image` gives, uint8 [side, side, 3], and the larger picture around it that views are cut out of.

    That is uint8 [H, W, 3]: see `geometry.to_wide`. The file is decoded once. Raises what `prepare_image` raises.
    """
    picture = _decoded(data, name, ENOUGH * side)
    return np.array(to_square(picture, side)), np.array(to_wide(picture, side))


def _decoded(data: bytes, name: str, enough: int | None = None) -> Image.Image:
    """The picture in mode RGB, upright; of a short side that is longer than `enough` pixels perhaps a smaller one.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves `enough`: libjpeg leaves out the finest detail of
    each block of 8x8 (G. K. Wallace, "The JPEG still picture compression standard", 1992), which resizing would average
    away. A photo of 12 megapixels takes a third of the time.
    """
    kind = _recognized(data, name)
    _silence_metadata_warnings()
    with _opened(data, name, kind) as image:
        if enough is not None:
            image.draft(None, (enough, enough))  # Only readers of JPEG have an answer to it.
        try:
            image.load()
        except _PARSE_ERRORS as error:
            raise _refusal(error, name, kind) from error
        if not kind.is_whole(data):
            raise UnreadableImage(name, _damaged(kind))
        picture = to_srgb(image, name)
        turn = _UPRIGHT.get(_orientation(image))
    return picture if turn is None else picture.transpose(turn)


def _recognized(data: bytes, name: str) -> _Format:
    """The format by signature."""
    if not data:
        raise UnreadableImage(name, "it holds no bytes")
    for kind in _FORMATS:
        if kind.begins(data):
            if kind.feature is not None and not features.check(kind.feature):
                raise UnreadableImage(name, f"this build of Pillow has no {kind.name}; reinstall Pillow")
            return kind
    if any(brand.startswith((b"hei", b"hev", b"mif1")) for brand in _brands(data)):
        raise UnreadableImage(name, "a HEIC picture, a kind that is not read; convert it to JPEG")
    if not data.strip(b"\0"):
        raise UnreadableImage(name, "it holds nothing but zero bytes, as a failed copy leaves")
    if data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise UnreadableImage(name, "it is a web page, not a picture")
    kinds = ", ".join(kind.name for kind in _FORMATS)
    raise UnreadableImage(name, f"it is not a picture of a kind that is read ({kinds})")


def _opened(data: bytes, name: str, kind: _Format) -> ImageFile.ImageFile:
    """The picture with its header read, and not too large."""
    try:
        image = kind.reader(io.BytesIO(data))
    except _PARSE_ERRORS as error:
        raise _refusal(error, name, kind) from error
    width, height = image.size
    if width * height >= PIXEL_LIMIT:
        image.close()
        raise UnreadableImage(name, f"too large: {width}x{height} pixels, and {PIXEL_LIMIT:,} or more are refused")
    return image


def _refusal(error: Exception, name: str, kind: _Format) -> UnreadableImage:
    """The reason for a reader's error; raises what does not follow from the bytes."""
    text = str(error).lower()
    if "out of memory" in text or "cannot allocate" in text:
        raise MemoryError(f"{name}: {error}") from error
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    # Pillow's own words change with its version and may hold addresses; they stay in the error's cause.
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(name, f"too large: a part of this {kind.name} claims more pixels than are read")
    if "truncated" in text:
        return UnreadableImage(name, f"cut short: the {kind.name} data end too early")
    return UnreadableImage(name, _damaged(kind))


def _damaged(kind: _Format) -> str:
    return f"damaged: the {kind.name} data cannot be decoded"


def _orientation(image: Image.Image) -> int:
    """The Exif orientation of a loaded picture; 1 (as stored) where it is missing or damaged."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _PARSE_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _silence_metadata_warnings() -> None:
    """Keep Pillow's remarks on odd metadata (a tag too long, a broken animation header) off the application's stderr.

    `warnings.catch_warnings` swaps a process-wide list back and forth, which loses filters when threads do it at once;
    so one narrow filter is added, once, and stays: warnings of these three readers, and no others.
    """
    module = r"PIL\.(TiffImagePlugin|PngImagePlugin|IcoImagePlugin)\Z"
    first = warnings.filters[0] if warnings.filters else None
    if first is None or getattr(first[3], "pattern", first[3]) != module:
        warnings.filterwarnings("ignore", category=UserWarning, module=module)
