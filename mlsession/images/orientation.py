"""Which way up a picture is, as its file says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from PIL import Image

from mlsession.images.boxes import boxes
from mlsession.images.faults import PARSE_ERRORS

UPRIGHT: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
"""What undoes each orientation of Exif 2.32, section 4.6.4; 1 and values that do not exist are as stored."""

_TAG = 0x0112

_EXIF_IN_JPEG_2000 = b"JpgTiffExif->JP2"
"""The identifier of the `uuid` box that holds an Exif block."""


def orientation(image: Image.Image, data: bytes) -> int:
    """The orientation of a loaded picture, 1 to 8: what Exif says, or XMP where there is no Exif.

    1 (as stored) where both are missing, damaged, or say what does not exist. `data` are the bytes of its file.
    """
    try:
        value = image.getexif().get(_TAG) or _in_jpeg_2000(image, data)
    except PARSE_ERRORS:
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1


def _in_jpeg_2000(image: Image.Image, data: bytes) -> object:
    """What the Exif block of a JPEG 2000 file says, which Pillow does not look for."""
    if image.format != "JPEG2000":
        return None
    for kind, start, end in boxes(data):
        if kind == b"uuid" and data[start : start + 16] == _EXIF_IN_JPEG_2000:
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + data[start + 16 : end].removeprefix(b"Exif\0\0"))
            return exif.get(_TAG)
    return None
