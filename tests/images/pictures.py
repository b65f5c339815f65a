"""Small pictures with a known truth, drawn here so that tests need no files."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

CORNERS = ((220, 30, 30), (30, 170, 30), (30, 30, 220), (230, 220, 30))
"""RGB of the blocks top left, top right, bottom left, bottom right."""

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that is held so lays out an upright scene: the inverse of what Exif's number asks for."""


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """A grey slope with a coloured block in each corner; no symmetry."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = np.linspace(60, 200, width, dtype=np.uint8)[None, :, None]
    up, across = height // 3, width // 3
    pixels[:up, :across], pixels[:up, -across:] = CORNERS[0], CORNERS[1]
    pixels[-up:, :across], pixels[-up:, -across:] = CORNERS[2], CORNERS[3]
    return Image.fromarray(pixels)


def noisy(width: int = 160, height: int = 120) -> Image.Image:
    """A picture that no codec makes short: the same each time."""
    generator = np.random.Generator(np.random.Philox(key=7))
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def corners(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """int64 [4, 3]: the colour in the middle of each corner block, in the order of `CORNERS`."""
    height, width = pixels.shape[:2]
    up, across = height // 6, width // 6
    places = ((up, across), (up, -across), (-up, across), (-up, -across))
    return np.array([pixels[row, column] for row, column in places], np.int64)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file of a Pillow format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif_orientation(value: int, *, long: bool = False, big_endian: bool = False) -> bytes:
    """An Exif block with nothing but an orientation, as SHORT or as LONG."""
    order = ">" if big_endian else "<"
    number = struct.pack(f"{order}I", value) if long else struct.pack(f"{order}HH", value, 0)
    head = b"MM\0*" if big_endian else b"II*\0"
    entry = struct.pack(f"{order}HHI", 0x0112, 4 if long else 3, 1) + number
    return b"Exif\0\0" + head + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims one-byte greys of this size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(64))) + png_chunk(b"IEND", b"")
