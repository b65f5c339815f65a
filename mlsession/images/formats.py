"""The kinds of files that are read: how each begins, who reads it, and what is looked at beyond that reader.

Formats are told by their first bytes, never by names: and only these, since some of Pillow's other readers take nearly
any bytes for a picture, or start other programs. Readers are called directly because `Image.open` may warn or refuse by
a global limit that belongs to the application.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

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
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from mlsession.errors import UnreadableImage
from mlsession.images.boxes import brands
from mlsession.images.early_end import jpeg_flaw, media_flaw, webp_flaw
from mlsession.images.faults import Again, damaged, no_flaw, png_flaw
from mlsession.images.png import without_remarks
from mlsession.images.quiet import silence_libtiff

Reader = Callable[[io.BytesIO], ImageFile.ImageFile]
Flaw = Callable[[bytes, Image.Image, Again], str]

_MOST_OF_AN_ICON = 2 * 1024**2
"""Pixels of a bitmap in an icon and its mask, which count twice; icons say that they have 256x256 at most."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of file."""

    name: str
    begins: Callable[[bytes], bool]
    """Whether a file of these bytes is of this kind, by the first of them."""
    reader: Reader
    """Reads the header, and the rest when its `load` is called."""
    feature: str | None = None
    """The part of Pillow that a build may lack."""
    extra: str | None = None
    """The extra of mlsession that brings the package `package`, which it takes."""
    package: str = "PIL"
    flaw: Flaw = no_flaw
    """Says what the reader does not notice: of the file, the loaded picture, and a way to decode other bytes alike."""
    has_scales: bool = False
    """Whether it can be decoded at 1/2, 1/4 or 1/8 of its size."""
    closing: bytes = b""
    """What ends a file of this kind; one that is cut short can be decoded with it at the end."""


def _heif(file: io.BytesIO) -> ImageFile.ImageFile:
    """libheif's reader, which turns the picture and says so; importing its package registers nothing with Pillow."""
    reader: ImageFile.ImageFile = importlib.import_module("pillow_heif").HeifImageFile(file)
    return reader


def _tiff(file: io.BytesIO) -> ImageFile.ImageFile:
    silence_libtiff()
    return TiffImagePlugin.TiffImageFile(file)


def _begins_as_tga(data: bytes) -> bool:
    """Whether the 18 bytes of a Targa header make sense together, every bit of them; the kind has no signature.

    Truevision TGA File Format Specification 2.0, "TGA file header". The name plays no part, as with all other kinds.
    """
    if len(data) < 18:
        return False
    map_kind, kind, first, length, map_depth, width, height, depth, about = struct.unpack_from("<xBBHHB4xHHBB", data)
    if map_kind == 0:
        has_map = (first, length, map_depth) == (0, 0, 0) and kind in (2, 3, 10, 11)
    else:
        has_map = map_kind == 1 and kind in (1, 9) and 0 < first + length <= 256 and map_depth in (16, 24, 32)
    depths = {1: (8,), 2: (16, 24, 32), 3: (8, 16)}.get(kind & 7, ())
    alpha_bits = {8: (0,), 16: (0, 1, 8), 24: (0,), 32: (0, 8)}.get(depth, ())
    is_told = about & 0xC0 == 0 and about & 0x0F in alpha_bits
    return has_map and depth in depths and is_told and width > 0 and height > 0


FORMATS = (
    Format(
        name="JPEG",
        begins=lambda data: data.startswith(b"\xff\xd8\xff"),
        reader=JpegImagePlugin.JpegImageFile,
        flaw=jpeg_flaw,
        has_scales=True,
        closing=b"\xff\xd9",
    ),
    Format(
        name="PNG",
        begins=lambda data: data.startswith(_PNG),
        reader=PngImagePlugin.PngImageFile,
        flaw=png_flaw,
    ),
    Format(name="GIF", begins=lambda data: data.startswith((b"GIF87a", b"GIF89a")), reader=GifImagePlugin.GifImageFile),
    Format(
        name="WebP",
        begins=lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
        reader=WebPImagePlugin.WebPImageFile,
        feature="webp",
        flaw=webp_flaw,
    ),
    Format(
        name="AVIF",
        begins=lambda data: not brands(data).isdisjoint((b"avif", b"avis")),
        reader=AvifImagePlugin.AvifImageFile,
        feature="avif",
        flaw=media_flaw,
    ),
    Format(
        name="HEIC",
        begins=lambda data: any(brand.startswith((b"hei", b"hev", b"mif1", b"msf1")) for brand in brands(data)),
        reader=_heif,
        extra="heic",
        package="pillow_heif",
        flaw=media_flaw,
    ),
    Format(
        name="TIFF",
        begins=lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        reader=_tiff,
    ),
    Format(name="BMP", begins=lambda data: data.startswith(b"BM"), reader=BmpImagePlugin.BmpImageFile),
    Format(
        name="PNM",
        begins=lambda data: data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace(),
        reader=PpmImagePlugin.PpmImageFile,
    ),
    Format(
        name="JPEG 2000",
        begins=lambda data: data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")),
        reader=Jpeg2KImagePlugin.Jpeg2KImageFile,
        feature="jpg_2000",
    ),
    Format(name="ICO", begins=lambda data: data.startswith(b"\0\0\1\0"), reader=IcoImagePlugin.IcoImageFile),
    # Last: what tells it is no signature.
    Format(name="TGA", begins=_begins_as_tga, reader=TgaImagePlugin.TgaImageFile),
)


def recognized(data: bytes, name: str) -> tuple[Format, bytes]:
    """The format by signature, and the bytes that are of that format: of an icon only the picture that counts, of a PNG
    not what it says besides.

    Raises `UnreadableImage` for what is of no kind that is read, and for a kind that cannot be read here.
    """
    if not data:
        raise UnreadableImage(name, "it holds no bytes")
    for kind in FORMATS:
        if kind.begins(data):
            _check_can_be_read(kind, name)
            kind, content = _within(data, name) if kind.name == "ICO" else (kind, data)
            return kind, without_remarks(content) if kind.name == "PNG" else content
    if not data.strip(b"\0"):
        raise UnreadableImage(name, "it holds nothing but zero bytes, as a failed copy leaves")
    if data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise UnreadableImage(name, "it is a web page, not a picture")
    kinds = ", ".join(kind.name for kind in FORMATS)
    raise UnreadableImage(name, f"it is not a picture of a kind that is read ({kinds})")


def _check_can_be_read(kind: Format, name: str) -> None:
    if kind.feature is not None and not features.check(kind.feature):
        raise UnreadableImage(name, f"this build of Pillow has no {kind.name}; reinstall Pillow")
    if kind.extra is not None and importlib.util.find_spec(kind.package) is None:
        cure = f"pip install 'mlsession[{kind.extra}]', or convert it to JPEG"
        raise UnreadableImage(name, f"a {kind.name} picture, which is read with a package that is missing here: {cure}")


def _within(data: bytes, name: str) -> tuple[Format, bytes]:
    """The largest picture of an icon, of equals the one with most colours: a PNG by itself, or an icon of it alone.

    Pillow decodes any PNG in an icon, of any size; by itself it is subject to the same rules as others.
    """
    icon = next(kind for kind in FORMATS if kind.name == "ICO")
    count = int.from_bytes(data[4:6], "little")
    entries = [data[start : start + 16] for start in range(6, 6 + 16 * count, 16) if start + 16 <= len(data)]
    if not entries:
        raise UnreadableImage(name, damaged(icon.name))
    best = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[6] or 256))
    size, start = struct.unpack_from("<II", best, 8)
    content = data[start : start + size]
    if content.startswith(_PNG):
        return next(kind for kind in FORMATS if kind.name == "PNG"), content
    width, height = struct.unpack_from("<ii", content.ljust(12, b"\0"), 4)
    if abs(width * height) > _MOST_OF_AN_ICON:
        raise UnreadableImage(name, "too large: a part of this ICO claims more pixels than are read")
    return icon, data[:4] + b"\1\0" + best[:12] + struct.pack("<I", 22) + content
