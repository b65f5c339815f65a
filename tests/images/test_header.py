"""Sizes read from headers, against the pictures themselves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from mlsession.errors import UnreadableImage
from mlsession.images.header import picture_size
from tests.photos import PHOTOS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_the_size_is_the_pictures(kind: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", (31, 47), (200, 10, 10)).save(data, kind)
    assert picture_size(data.getvalue(), "picture") == (31, 47)


def test_a_file_that_is_cut_short_still_says_it(tmp_path: Path) -> None:
    photo = next((PHOTOS / "test" / "Kiwi").iterdir())
    with Image.open(photo) as image:
        size = image.size
    assert picture_size(photo.read_bytes()[:4096], "photo") == size


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        picture_size(data, "picture")
