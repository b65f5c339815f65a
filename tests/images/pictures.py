"""Small pictures with a known truth, drawn here so that tests need no files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

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


def heic(image: Image.Image, exif: bytes | None = None) -> bytes:
    """The bytes of a HEIC; its coder is GPL software that the extra `heic` brings."""
    from pillow_heif import from_pillow

    out = io.BytesIO()
    from_pillow(image).save(out, exif=exif, quality=90)
    return out.getvalue()


def icon(content: bytes, *others: bytes) -> bytes:
    """An ICO of files, each of which is said to be 64x64 with 24 bits, the first 128x128 with 32."""
    place, entries = 6 + 16 * (1 + len(others)), b""
    for number, one in enumerate((content, *others)):
        side, bits = (64, 24) if number else (128, 32)
        entries += struct.pack("<BBBBHHII", side, side, 0, 0, 1, bits, len(one), place)
        place += len(one)
    return struct.pack("<HHH", 0, 1, 1 + len(others)) + entries + content + b"".join(others)


def tiff(
    samples: npt.NDArray[np.generic],
    *,
    order: Literal["<", ">"] = "<",
    photometric: int = 1,
    planes: bool = False,
    **tags: int,
) -> bytes:
    """An uncompressed TIFF of samples [H, W] or [H, W, C] as they are; `tags` such as t322=512 come on top."""
    depth, kind = samples.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    height, width = samples.shape[:2]
    count = 1 if samples.ndim == 2 else samples.shape[2]
    stored = np.moveaxis(samples, 2, 0) if planes else samples
    raw, strips = stored.astype(stored.dtype.newbyteorder(order)).tobytes(), count if planes else 1
    given = {256: [width], 257: [height], 258: [depth] * count, 259: [1], 262: [photometric], 273: [0] * strips}
    given |= {277: [count], 278: [height], 279: [len(raw) // strips] * strips, 284: [1 + planes], 339: [kind] * count}
    given |= {int(name[1:]): [value] for name, value in tags.items()}
    beyond = 8 + 2 + 12 * len(given) + 4
    start = beyond + sum(4 * len(values) for values in given.values() if len(values) > 1)
    given[273] = [start + number * (len(raw) // strips) for number in range(strips)]
    entries, rest = b"", b""
    for tag, values in sorted(given.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        entries += struct.pack(f"{order}HHI", tag, 4, len(values))
        entries += packed if len(values) == 1 else struct.pack(f"{order}I", beyond + len(rest))
        rest += packed if len(values) > 1 else b""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(given))
    return head + entries + bytes(4) + rest + raw


def slope(columns: int = 256) -> npt.NDArray[np.float64]:
    """float64 [4, columns]: a slope from 0 to 1."""
    return np.tile(np.linspace(0, 1, columns), (4, 1))
