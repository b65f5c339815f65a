"""Each row of the tables of docs/images.md, checked."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mlsession as ml
from mlsession.errors import UnreadableImage
from mlsession.images.formats import FORMATS
from tests.images.pictures import (
    CORNERS,
    corners,
    encoded,
    exif_orientation,
    heic,
    icon,
    noisy,
    png_claiming,
    scene,
    slope,
    tiff,
)
from tests.images.test_colour import swapped_profile
from tests.images.test_early_end import lost

TEXT = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")

SAMPLES: Mapping[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded(noisy(), "JPEG"),
    "PNG": lambda: encoded(noisy(), "PNG"),
    "GIF": lambda: encoded(noisy(), "GIF", interlace=0),
    "WebP": lambda: encoded(noisy(), "WEBP"),
    "AVIF": lambda: encoded(noisy(), "AVIF"),
    "HEIC": lambda: heic(noisy()),
    "TIFF": lambda: encoded(noisy(), "TIFF"),
    "BMP": lambda: encoded(noisy(), "BMP"),
    "PNM": lambda: encoded(noisy(), "PPM"),
    "JPEG 2000": lambda: encoded(noisy(), "JPEG2000"),
    "ICO": lambda: icon(encoded(noisy(), "PNG")),
    "TGA": lambda: encoded(noisy(), "TGA"),
}


def table(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its own heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def shows_the_scene(data: bytes) -> bool:
    pixels = ml.read_image(data)
    return pixels.shape == (80, 120, 3) and bool(np.abs(corners(pixels) - CORNERS).max() <= 40)


def turned() -> Image.Image:
    return scene().transpose(Image.Transpose.ROTATE_180)


def first_row(data: bytes) -> list[int]:
    found: list[int] = ml.read_image(data)[0, :, 0].tolist()
    return found


def test_the_formats_are_those_of_the_code() -> None:
    rows = table("Formats")
    assert [row[0] for row in rows] == [kind.name for kind in FORMATS]
    extras = [f"`pip install 'mlsession[{kind.extra}]'`" if kind.extra else "" for kind in FORMATS]
    assert [row[1] for row in rows] == extras


@pytest.mark.parametrize("row", table("Formats"), ids=lambda row: str(row[0]))
def test_format(row: list[str]) -> None:
    name, _, part, tail = row
    data = SAMPLES[name]()
    assert ml.read_image(data).shape == (120, 160, 3)
    cut = data[: len(data) * 6 // 10]
    with pytest.raises(UnreadableImage):
        ml.read_image(cut)
    if part == "no":
        with pytest.raises(UnreadableImage):
            ml.read_image(cut, allow_truncated=True)
    else:
        assert ml.read_image(cut, allow_truncated=True).shape == (120, 160, 3)
    if tail == "noticed":
        with pytest.raises(UnreadableImage, match="end in zeros"):
            ml.read_image(lost(data, 0.6))
    else:
        assert tail.startswith("black")
        assert (ml.read_image(lost(data, 0.6))[[0, -1]] == 0).all(axis=(1, 2)).any()


RULES: Mapping[str, Callable[[], bool]] = {
    "Exif orientation 1 to 8": lambda: shows_the_scene(encoded(turned(), "JPEG", exif=exif_orientation(3))),
    "orientation in XMP alone": lambda: shows_the_scene(
        encoded(turned(), "JPEG", xmp=b'<rdf:Description tiff:Orientation="3"/>')
    ),
    "an orientation that does not exist, or broken Exif": lambda: shows_the_scene(
        encoded(scene(), "JPEG", exif=exif_orientation(9))
    ),
    "rotation and mirroring of AVIF and HEIC": lambda: (
        shows_the_scene(heic(turned(), exif_orientation(3)))
        and shows_the_scene(encoded(turned(), "AVIF", exif=exif_orientation(3)))
    ),
    "grey, one bit, palette": lambda: first_row(encoded(Image.new("1", (2, 2), 1), "PNG")) == [255, 255],
    "CMYK or YCCK": lambda: shows_the_scene(encoded(scene().convert("CMYK"), "JPEG")),
    "alpha, or a transparent colour": lambda: first_row(encoded(Image.new("LA", (1, 1), (9, 0)), "PNG")) == [255],
    "16 bits": lambda: first_row(tiff(np.array([[0, 257, 65535]], np.uint16))) == [0, 1, 255],
    "32-bit or signed integers": lambda: (
        first_row(tiff(np.array([[0, 100, 255]], np.int32))) == [0, 100, 255]
        and first_row(tiff(np.array([[0, 2**31, 2**32 - 1]], np.uint32))) == [0, 128, 255]
        and first_row(tiff(np.array([[-100, 0, 100]], np.int8))) == [0, 128, 255]
    ),
    "floating point": lambda: first_row(tiff(np.array([[0, 0.5, np.nan, 1]], np.float32))) == [0, 128, 0, 255],
    "white as zero (TIFF)": lambda: first_row(tiff(np.array([[0, 65535]], np.uint16), photometric=0)) == [255, 0],
    "an ICC profile": lambda: first_row(encoded(scene(), "PNG", icc_profile=swapped_profile()))[0] <= 33,
    "a profile that is broken or of another kind": lambda: (
        shows_the_scene(encoded(scene(), "PNG", icc_profile=b"rubbish"))
        and first_row(encoded(Image.new("L", (1, 1), 99), "PNG", icc_profile=swapped_profile())) == [99]
    ),
    "an animation, several pages or views": lambda: shows_the_scene(
        encoded(scene(), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9), "magenta")])
    ),
    "bytes after the end": lambda: shows_the_scene(encoded(scene(), "JPEG") + b"rubbish" * 500),
    "a thumbnail inside": lambda: shows_the_scene(
        encoded(scene(), "JPEG", exif=exif_orientation(1) + encoded(Image.new("RGB", (9, 9), "magenta"), "JPEG"))
    ),
}


def test_every_rule_is_checked() -> None:
    assert [row[0] for row in table("Rules")] == list(RULES)


@pytest.mark.parametrize("what", RULES)
def test_rule(what: str) -> None:
    assert RULES[what]()


REFUSED: tuple[Callable[[], bytes] | None, ...] = (
    lambda: b"",
    lambda: bytes(500),
    lambda: b"<!DOCTYPE html><html></html>",
    lambda: b"%PDF-1.7\n",
    None,  # Without the package: `test_formats.TestHEIC`.
    lambda: encoded(noisy(), "JPEG")[:-400],
    lambda: lost(encoded(noisy(), "AVIF"), 0.6),
    lambda: encoded(noisy(), "PNG").replace(b"IDAT", b"IDAT\7", 1),
    lambda: tiff(np.dstack([slope()] * 3).astype(np.float32), photometric=2),
    lambda: png_claiming(15_000, 15_000),
    lambda: icon(struct.pack("<IiiHHIIiiII", 40, 60_000, 120_000, 1, 32, 0, 0, 0, 0, 0, 0)),
    lambda: tiff(np.full((2, 2), np.nan, np.float32)),
)


@pytest.mark.parametrize(("row", "make"), list(zip(table("Refusals"), REFUSED, strict=True)))
def test_refusal(row: list[str], make: Callable[[], bytes] | None) -> None:
    words = row[0].strip("`")
    if make is None:
        assert "mlsession[heic]" in words
        return
    with pytest.raises(UnreadableImage) as caught:
        ml.read_image(make())
    assert re.fullmatch(re.escape(words).replace(r"\.\.\.", ".+"), caught.value.reason)
