"""Files whose end is missing although their decoder says nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mlsession.errors import UnreadableImage
from mlsession.images.decode import decode_image, inspect_image, prepare_image
from tests.images.coded import ARITHMETIC, ARITHMETIC_PROGRESSIVE, ONE_PASS_EACH
from tests.images.pictures import CORNERS, corners, encoded, heic, noisy, scene
from tests.photos import PHOTOS

JPEGS: tuple[tuple[str, dict[str, object]], ...] = (
    ("RGB", {}),
    ("RGB", {"subsampling": 0, "optimize": True}),
    ("RGB", {"restart_marker_blocks": 3}),
    ("RGB", {"restart_marker_rows": 1, "quality": 30}),
    ("RGB", {"progressive": True}),
    ("L", {}),
    ("L", {"progressive": True}),
    ("CMYK", {}),
)
SHARES = (0.0, 0.02, 0.1, 0.5, 0.9, 0.96)


def closed(data: bytes, share: float) -> bytes:
    """A JPEG whose coded data, of all passes together, end after a share of them, with an end marker put there."""
    first = data.index(b"\xff\xda")
    start = first + 2 + int.from_bytes(data[first + 2 : first + 4], "big")
    end = start + int((len(data) - 2 - start) * share)
    return data[:end].rstrip(b"\xff") + b"\xff\xd9"


def lost(data: bytes, share: float) -> bytes:
    """A file of the right length whose last part was never written."""
    end = int(len(data) * share)
    return data[:end] + bytes(len(data) - end)


def photo(side: int = 320) -> Image.Image:
    with Image.open(min(PHOTOS.rglob("*.jpg"))) as found:
        return found.convert("RGB").resize((side, side * 3 // 4))


def ending_in_grey() -> Image.Image:
    """A photo whose lower right is what libjpeg makes of missing data."""
    pixels = np.asarray(photo()).copy()
    pixels[100:, 100:] = 128
    return Image.fromarray(pixels)


class TestJPEG:
    @pytest.mark.parametrize(
        ("mode", "options", "share"),
        # What is cut in the last pass of a progressive one is not noticed, and docs/images.md says so.
        [(*kind, share) for kind in JPEGS for share in SHARES if share <= 0.5 or "progressive" not in kind[1]],
    )
    def test_cut_and_closed_with_an_end_marker(self, mode: str, options: dict[str, object], share: float) -> None:
        data = closed(encoded(photo().convert(mode), "JPEG", **options), share)
        for decode in (decode_image, lambda data, name: prepare_image(data, name, 32)):
            with pytest.raises(UnreadableImage, match="cut short: the JPEG data end too early"):
                decode(data, "a")

    @pytest.mark.parametrize(("mode", "options"), JPEGS)
    @pytest.mark.parametrize("share", [0.2, 0.9])
    def test_a_tail_of_zeros(self, mode: str, options: dict[str, object], share: float) -> None:
        for picture in (photo(), noisy()):  # The second takes so many bytes that zeros in place of some are enough.
            data = encoded(picture.convert(mode), "JPEG", **options)
            with pytest.raises(UnreadableImage, match="cut short: the JPEG data end in zeros"):
                decode_image(lost(data, 0.3 + share * 0.7), "a")

    def test_a_tail_of_something_else(self) -> None:
        data = encoded(noisy(), "JPEG")
        with pytest.raises(UnreadableImage, match="cut short: the JPEG data end too early"):
            decode_image(data[: len(data) // 2] + b"\x2a" * len(data), "a")

    @pytest.mark.parametrize(("mode", "options"), JPEGS)
    def test_what_is_whole_is_read_whatever_it_shows(self, mode: str, options: dict[str, object]) -> None:
        for picture in (ending_in_grey(), Image.new("RGB", (97, 61), (128, 128, 128)), photo(), noisy(33, 17)):
            data = encoded(picture.convert(mode), "JPEG", **options)
            with Image.open(io.BytesIO(data)) as image:
                expected = np.asarray(image.convert("RGB"))
            assert np.array_equal(decode_image(data + b"more", "a"), expected)
            assert prepare_image(data, "a", 16).shape == (16, 16, 3)

    def test_an_interval_that_ends_just_where_the_file_was_cut(self) -> None:
        data = encoded(photo(), "JPEG", restart_marker_rows=1)
        place = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)][7]
        with pytest.raises(UnreadableImage, match="cut short"):
            decode_image(data[:place] + b"\xff\xd9", "a")

    def test_one_pass_for_each_component(self) -> None:
        pixels = decode_image(ONE_PASS_EACH, "a")
        assert np.abs(corners(pixels) - CORNERS).max() <= 40
        for share in (0.3, 0.6, 0.9):
            with pytest.raises(UnreadableImage, match="cut short"):
                decode_image(closed(ONE_PASS_EACH, share), "a")

    @pytest.mark.parametrize("data", [ARITHMETIC, ARITHMETIC_PROGRESSIVE], ids=["sequential", "progressive"])
    def test_arithmetic_coding_is_read(self, data: bytes) -> None:
        assert np.abs(corners(decode_image(data, "a")) - CORNERS).max() <= 10

    def test_a_smaller_jpeg_inside_does_not_count(self) -> None:
        small = encoded(Image.new("RGB", (16, 16), "magenta"), "JPEG")
        exif = b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + small
        assert np.abs(corners(decode_image(encoded(scene(), "JPEG", exif=exif), "a")) - CORNERS).max() <= 40


class TestOthers:
    @pytest.mark.parametrize("share", [0.4, 0.98])
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("PNG", {}),
            ("GIF", {}),
            ("WEBP", {}),
            ("WEBP", {"lossless": True}),
            ("AVIF", {"speed": 10}),
            ("JPEG2000", {}),
            ("JPEG2000", {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}),
            *(("TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
            ("ICO", {"sizes": [(128, 96)]}),
            ("TGA", {"compression": "tga_rle"}),
        ],
    )
    def test_a_tail_of_zeros(self, kind: str, options: dict[str, object], share: float) -> None:
        picture = photo(160).quantize() if kind == "TGA" else photo(160)
        with pytest.raises(UnreadableImage, match=r"cut short: the .* data end in zeros, as a failed copy leaves"):
            decode_image(lost(encoded(picture, kind, **options), share), "a")

    @pytest.mark.parametrize("share", [0.5, 0.98])
    def test_a_tail_of_zeros_in_heic(self, share: float) -> None:
        with pytest.raises(UnreadableImage, match="cut short: the HEIC data end in zeros"):
            decode_image(lost(heic(photo(160)), share), "a")

    @pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "TGA"])
    def test_what_cannot_be_known_from_the_bytes(self, kind: str) -> None:
        """Of uncompressed pixels zeros are black ones."""
        data = encoded(noisy(), kind)
        pixels = decode_image(lost(data, 0.5), "a")
        assert {int(pixels[:50].max()), int(pixels[-50:].max())} == {0, 255}

    @pytest.mark.parametrize("colour", ["white", "black", "gray"])
    def test_flat_pictures_that_end_in_zeros_are_whole(self, colour: str) -> None:
        flat = Image.new("RGB", (640, 640), colour)
        flat.paste(photo(64), (10, 10))
        data = encoded(flat, "WEBP")
        assert data.endswith(bytes(32)), "as coders write it"
        others = (encoded(flat, "WEBP", lossless=True), encoded(flat, "WEBP", exif=b"Exif\0\0" + bytes(64)))
        for one in (data, *others):
            assert np.abs(decode_image(one, "a")[-1, -1].astype(int) - np.asarray(flat)[-1, -1]).max() <= 2

    @pytest.mark.parametrize("make", [lambda picture: encoded(picture, "AVIF"), heic], ids=["AVIF", "HEIC"])
    def test_zeros_that_nobody_reads_are_no_loss(self, make: Callable[[Image.Image], bytes]) -> None:
        data = make(scene(64, 64))
        place = data.index(b"mdat") - 4
        size = int.from_bytes(data[place : place + 4], "big")
        assert place + size == len(data), "it is the last box"
        padded = data[:place] + (size + 64).to_bytes(4, "big") + data[place + 4 :] + bytes(64)
        assert np.array_equal(decode_image(padded, "a"), decode_image(data, "a"))

    def test_the_first_picture_of_an_animation_is_looked_at_alone(self) -> None:
        data = encoded(scene(), "WEBP", save_all=True, append_images=[Image.new("RGB", (120, 80), "white")] * 2)
        assert inspect_image(data, "a").format == "WebP"


def test_the_helpers_do_what_they_say() -> None:
    data = encoded(noisy(), "JPEG")
    assert closed(data, 1.0) == data
    pixels: npt.NDArray[np.uint8] = np.frombuffer(lost(data, 0.5), np.uint8)
    assert not pixels[len(data) // 2 :].any()
