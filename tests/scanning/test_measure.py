from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from mlsession.randomness import keyed_generator
from mlsession.scanning.fingerprint import BITS, fingerprint
from mlsession.scanning.measure import Look, measure, sharpness
from mlsession.scanning.neighbours import MOST_BITS
from tests.photos import PHOTOS

PHOTO = sorted((PHOTOS / "train" / "Lemon").iterdir())[0]


def stored(picture: Image.Image, form: str = "PNG", orientation: int | None = None, quality: int = 90) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    output = io.BytesIO()
    picture.save(output, format=form, quality=quality, exif=exif)
    return output.getvalue()


def look(data: bytes) -> Look:
    found = measure(data, "x").look
    assert found is not None
    return found


def test_what_a_file_says_of_itself() -> None:
    data = stored(Image.new("RGB", (40, 20), "red"), "JPEG", orientation=6)
    measured = measure(data, "x.png")
    assert measured.digest == hashlib.sha256(data).digest()
    found = look(data)
    assert (found.width, found.height, found.format, found.orientation) == (20, 40, "JPEG", 6)


def test_a_file_that_cannot_be_read_has_a_reason() -> None:
    assert measure(b"", "x").reason == "it holds no bytes"
    assert measure(b"", "x").look is None


def test_levels() -> None:
    half = Image.new("L", (100, 100), 10)
    half.paste(250, (0, 0, 100, 50))
    found = look(stored(half))
    assert (found.dark_end, found.bright_end) == (10, 250)
    assert found.contrast == pytest.approx(120, abs=1)
    assert found.colour == 0
    assert look(stored(Image.new("RGB", (9, 9), (200, 100, 0)))).colour == pytest.approx(200 / 3, abs=0.1)
    # Of one brightness, but not of one colour.
    colours = Image.new("RGB", (64, 64), (255, 0, 0))
    colours.paste((0, 130, 0), (0, 0, 32, 64))
    assert look(stored(colours)).contrast > 50


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    levels = keyed_generator(0, "test sharpness").integers(0, 256, (6, 5), dtype=np.uint8)
    around = [
        int(levels[y - 1, x]) + int(levels[y + 1, x]) + int(levels[y, x - 1]) + int(levels[y, x + 1])
        - 4 * int(levels[y, x])
        for y in range(1, 5)
        for x in range(1, 4)
    ]  # fmt: skip
    assert sharpness(levels) == pytest.approx(np.var(around), rel=1e-5)
    assert sharpness(levels[:2]) == 0


def test_near_copies_have_near_fingerprints_and_blank_pictures_none() -> None:
    data = PHOTO.read_bytes()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    original, small = look(data), look(stored(picture.resize((90, 100)), "JPEG", quality=50))
    mirrored = look(stored(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    assert original.hash is not None
    assert small.hash is not None
    assert mirrored.hash is not None
    assert (original.hash ^ small.hash).bit_count() <= MOST_BITS
    assert (original.hash ^ mirrored.hash).bit_count() > 2 * MOST_BITS
    assert original.direction is not None
    assert np.linalg.norm(original.direction.astype(np.float64)) == pytest.approx(1, abs=0.01)
    noise = keyed_generator(0, "test noise").normal(128, 1, (32, 32)).round().astype(np.uint8)
    assert fingerprint(noise) is None
    assert look(stored(Image.new("RGB", (300, 300), (7, 80, 9)), "JPEG")).hash is None


def test_half_of_the_bits_are_set() -> None:
    found = fingerprint(keyed_generator(0, "test bits").integers(0, 256, (32, 32), dtype=np.uint8))
    assert found is not None
    assert found[0].bit_count() == BITS // 2
