"""Damaged files of every kind: pixels or a reason, always the same, and nothing on stderr."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlsession.errors import UnreadableImage
from mlsession.images.decode import ReadingRules, decode_image
from tests.images.pictures import encoded, exif_orientation, heic, icon, scene, slope, tiff

SEED = int(os.environ.get("MLSESSION_FUZZ_SEED", "6"))
CASES = int(os.environ.get("MLSESSION_FUZZ", "8"))
"""Damaged files of each sound one."""


def sound() -> dict[str, bytes]:
    """A small file of every kind."""
    small, ink, bits = scene(40, 30), scene(40, 30).convert("CMYK"), scene(40, 30).convert("1")
    colours = scene(40, 30).quantize(8)
    return {
        "JPEG": encoded(small, "JPEG", exif=exif_orientation(6)),
        "JPEG, grey and restarted": encoded(small.convert("L"), "JPEG", restart_marker_blocks=2),
        "JPEG, progressive": encoded(ink, "JPEG", progressive=True),
        "PNG": encoded(small.convert("RGBA"), "PNG"),
        "PNG, palette": encoded(colours, "PNG", bits=4),
        "GIF": encoded(colours, "GIF"),
        "WebP": encoded(small, "WEBP"),
        "WebP, lossless": encoded(small.convert("RGBA"), "WEBP", lossless=True),
        "AVIF": encoded(small, "AVIF"),
        "HEIC": heic(scene(64, 64)),
        "TIFF": encoded(small, "TIFF"),
        "TIFF, wide": tiff((slope() * 65535).astype(np.uint16), order=">"),
        **{
            f"TIFF, {name}": encoded(bits if name == "group4" else small, "TIFF", compression=name)
            for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4")
        },
        "BMP": encoded(colours, "BMP"),
        "PNM": encoded(small, "PPM"),
        "JPEG 2000": encoded(small, "JPEG2000"),
        "ICO": encoded(small, "ICO", bitmap_format="bmp", sizes=[(16, 16)]),
        "ICO of a PNG": icon(encoded(small, "PNG")),
        "TGA": encoded(small, "TGA", compression="tga_rle"),
    }


def damaged(data: bytes, generator: np.random.Generator) -> Iterator[bytes]:
    """The file with some bytes changed, cut out, put in twice, or zero; more often at the front, where headers are."""
    for _ in range(CASES):
        found = bytearray(data)
        for _ in range(int(generator.integers(1, 5))):
            place = int(len(found) * generator.random() ** 2)
            length = int(generator.integers(1, 17))
            match generator.integers(4):
                case 0:
                    found[place : place + length] = generator.bytes(length)
                case 1:
                    del found[place : place + length]
                case 2:
                    found[place:place] = found[place : place + length]
                case _:
                    found[place : place + length] = bytes(length)
        yield bytes(found)


def outcome(data: bytes, rules: ReadingRules) -> str:
    try:
        pixels = decode_image(data, "a", rules)
    except UnreadableImage as error:
        return error.reason
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    return f"{pixels.shape} {hashlib.sha256(pixels.tobytes()).hexdigest()}"


@pytest.mark.parametrize("rules", [ReadingRules(), ReadingRules(allow_truncated=True)], ids=["strict", "lenient"])
def test_damage_gives_pixels_or_a_reason(rules: ReadingRules, capfd: pytest.CaptureFixture[str]) -> None:
    generator = np.random.Generator(np.random.Philox(key=SEED))
    files = [case for data in sound().values() for case in (data, *damaged(data, generator))]
    first = [outcome(data, rules) for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: outcome(data, rules), files))
    assert first == together, f"MLSESSION_FUZZ_SEED={SEED}"
    assert not any(re.search(r"\n| 0x[0-9a-f]{6}", text) for text in first), f"MLSESSION_FUZZ_SEED={SEED}"
    read = sum(text.startswith("(") for text in first)
    assert len(sound()) <= read < len(files), "some are whole, some are not"
    assert capfd.readouterr().err == ""
