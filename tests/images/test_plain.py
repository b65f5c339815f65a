"""Which files another decoder than Pillow may take."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image, ImageCms

from mlsession.images.decode import decode_image, inspect_image
from mlsession.images.plain import LEAST_SIDE, PlainJpeg, as_cut_short, is_suspicious, plain_jpeg
from tests.images.coded import ARITHMETIC
from tests.images.pictures import encoded, noisy, scene
from tests.photos import PHOTOS

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OTHER = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
PHOTO = sorted((PHOTOS / "test" / "Lemon").glob("*.jpg"))[0].read_bytes()


def jpeg(image: Image.Image | None = None, **options: object) -> bytes:
    return encoded(image or noisy(), "JPEG", **options)


def with_bytes(data: bytes, pattern: bytes, new: bytes) -> bytes:
    found, count = re.subn(pattern, lambda match: match[1] + new, data, count=1, flags=re.DOTALL)
    assert count == 1
    return found


@pytest.mark.parametrize(
    ("data", "is_whole"),
    [
        (PHOTO, False),
        (jpeg(), False),
        (jpeg(subsampling=0), False),
        (jpeg(subsampling=1, optimize=True), False),
        (jpeg(restart_marker_blocks=3), False),
        (jpeg(icc_profile=SRGB), False),
        (jpeg(progressive=True), True),
        (jpeg(noisy(LEAST_SIDE, LEAST_SIDE)), False),
    ],
)
def test_what_cameras_write_is_plain(data: bytes, is_whole: bool) -> None:
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    assert plain_jpeg(data) == PlainJpeg(width=width, height=height, turn=1, is_whole=is_whole)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(encoded(noisy(), "PNG"), id="png"),
        pytest.param(jpeg(noisy().convert("L")), id="grey"),
        pytest.param(jpeg(noisy().convert("CMYK")), id="cmyk"),
        pytest.param(jpeg(keep_rgb=True), id="rgb"),
        pytest.param(jpeg(icc_profile=OTHER), id="another profile"),
        pytest.param(jpeg(noisy(LEAST_SIDE - 1, 300)), id="tiny"),
        pytest.param(with_bytes(jpeg(), rb"(\xff\xc0..\x08)....", b"\x17\x70\x17\x70"), id="large"),
        pytest.param(with_bytes(jpeg(), rb"(\xff\xc0..)\x08", b"\x0c"), id="12 bits"),
        pytest.param(with_bytes(jpeg(), rb"(\xff\xc0.{9})\x22", b"\x41"), id="4:1:1"),
        pytest.param(ARITHMETIC, id="arithmetic"),
        pytest.param(PHOTO[: len(PHOTO) // 2], id="without an end"),
        pytest.param(PHOTO[:-1000] + bytes(1000), id="in zeros"),
        pytest.param(as_cut_short(jpeg(progressive=True)), id="progressive, without its last scans"),
    ],
)
def test_all_else_is_left_to_pillow(data: bytes) -> None:
    assert plain_jpeg(data) is None


def test_it_says_how_it_lies() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    about = plain_jpeg(jpeg(exif=exif))
    assert about is not None
    assert (about.width, about.height, about.turn) == (160, 120, 6)


def test_one_that_is_cut_short_behind_a_whole_header_is_suspicious() -> None:
    cut = as_cut_short(PHOTO)
    about = plain_jpeg(cut)
    assert about is not None
    with Image.open(io.BytesIO(cut)) as image:
        last = image.convert("RGB").getpixel((image.width - 1, image.height - 1))
    assert isinstance(last, tuple)
    assert is_suspicious(about, last)
    whole = decode_image(PHOTO, "photo")[-1, -1]
    assert not is_suspicious(about, whole.tolist())


def test_a_whole_picture_that_ends_in_grey_is_suspicious_and_read() -> None:
    grey = jpeg(Image.fromarray(np.full((80, 80, 3), 128, np.uint8)))
    about, progressive = plain_jpeg(grey), plain_jpeg(jpeg(scene(), progressive=True))
    assert about is not None
    assert progressive is not None
    assert is_suspicious(about, (128, 128, 128))
    assert inspect_image(grey, "grey").width == 80
    assert not is_suspicious(progressive, (128, 128, 128))
