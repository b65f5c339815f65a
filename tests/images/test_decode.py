from __future__ import annotations

import errno
import io
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, JpegImagePlugin

from mlsession.errors import InvalidParameter, UnreadableImage
from mlsession.images.decode import PIXEL_LIMIT, decode_image
from tests.images.pictures import (
    CORNERS,
    STORED_AS,
    corners,
    encoded,
    exif_orientation,
    noisy,
    png_chunk,
    png_claiming,
    scene,
)

FORMATS: tuple[tuple[str, dict[str, object]], ...] = (
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "jpeg"}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("AVIF", {}),
    ("PPM", {}),
    ("JPEG2000", {}),
)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode_image(data, "folder/name.jpg")
    assert caught.value.path == "folder/name.jpg"
    return caught.value.reason


class TestFormats:
    @pytest.mark.parametrize(("kind", "options"), FORMATS)
    def test_every_format_shows_the_scene(self, kind: str, options: dict[str, object]) -> None:
        pixels = decode_image(encoded(scene(), kind, **options), "a")
        assert pixels.shape == (80, 120, 3)
        assert pixels.dtype == np.uint8
        assert np.abs(corners(pixels) - CORNERS).max() <= 40

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
    def test_formats_without_loss_are_exact(self, kind: str) -> None:
        picture = noisy()
        assert np.array_equal(decode_image(encoded(picture, kind), "a"), np.asarray(picture))

    def test_the_content_counts_and_not_the_name(self) -> None:
        data = encoded(scene(), "PNG")
        assert np.array_equal(decode_image(data, "photo.jpg"), decode_image(data, "no ending"))

    def test_the_pixels_are_writable_and_its_own(self) -> None:
        pixels = decode_image(encoded(scene(), "PNG"), "a")
        pixels[:] = 0
        assert pixels.flags.c_contiguous

    def test_rubbish_after_the_end_is_ignored(self) -> None:
        data = encoded(scene(), "JPEG")
        assert np.array_equal(decode_image(data + b"rubbish" * 500, "a"), decode_image(data, "a"))

    @pytest.mark.parametrize(
        ("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
    )
    def test_the_first_frame_counts(self, kind: str, options: dict[str, object]) -> None:
        others = [Image.new("RGB", (120, 80), "magenta"), Image.new("RGB", (120, 80), "cyan")]
        data = encoded(scene(), kind, save_all=True, append_images=others, **options)
        assert np.abs(corners(decode_image(data, "a")) - CORNERS).max() <= 40

    def test_of_two_views_the_first_counts(self) -> None:
        data = encoded(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40), "magenta")])
        assert np.abs(corners(decode_image(data, "a")) - CORNERS).max() <= 40


class TestOrientation:
    @pytest.mark.parametrize("orientation", STORED_AS)
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_upright_is_exact_for_all_eight(self, kind: str, orientation: int) -> None:
        turn = STORED_AS[orientation]
        stored = scene() if turn is None else scene().transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert np.array_equal(decode_image(encoded(stored, kind, exif=exif), "a"), np.asarray(scene()))

    @pytest.mark.parametrize("orientation", STORED_AS)
    @pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
    def test_upright_for_all_eight_in_photo_formats(self, kind: str, orientation: int) -> None:
        turn = STORED_AS[orientation]
        stored = scene() if turn is None else scene().transpose(turn)
        pixels = decode_image(encoded(stored, kind, exif=exif_orientation(orientation)), "a")
        assert pixels.shape == (80, 120, 3)
        assert np.abs(corners(pixels) - CORNERS).max() <= 40

    @pytest.mark.parametrize("big_endian", [False, True])
    @pytest.mark.parametrize("long", [False, True])
    def test_written_as_short_or_long_in_both_byte_orders(self, long: bool, big_endian: bool) -> None:
        data = encoded(scene(), "JPEG", exif=exif_orientation(3, long=long, big_endian=big_endian))
        assert np.abs(corners(decode_image(data, "a")) - CORNERS[::-1]).max() <= 40

    @pytest.mark.parametrize(
        "exif",
        [
            exif_orientation(0),
            exif_orientation(9),
            b"Exif\0\0II*\0\xff\xff\xff\x7f",
            b"Exif\0\0rubbish",
            exif_orientation(6)[:-9],
        ],
    )
    def test_a_broken_or_impossible_orientation_is_as_stored(self, exif: bytes) -> None:
        plain = encoded(scene(), "JPEG")
        assert np.array_equal(decode_image(encoded(scene(), "JPEG", exif=exif), "a"), decode_image(plain, "a"))


class TestTroubleOfOthers:
    def noisy_metadata(self) -> bytes:
        """A JPEG whose Exif makes Pillow warn: a text of 9999 bytes that lies outside the block."""
        entry = struct.pack("<HHII", 0x010F, 2, 9999, 4000)
        return encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4))

    def test_warnings_on_metadata_are_silent(self) -> None:
        data = self.noisy_metadata()
        with pytest.warns(UserWarning, match="tag 271"):
            Image.open(io.BytesIO(data)).getexif()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            decode_image(data, "a")
        assert seen == []

    def test_a_broken_animation_header_is_silent(self) -> None:
        data = encoded(scene(), "PNG")
        animated = data[:33] + png_chunk(b"acTL", bytes(8)) + data[33:]
        with pytest.warns(UserWarning, match="Invalid APNG"):
            Image.open(io.BytesIO(animated))
        assert np.array_equal(decode_image(animated, "a"), np.asarray(scene()))

    def test_the_application_keeps_its_own_warnings(self) -> None:
        decode_image(self.noisy_metadata(), "a")
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)

    def test_the_settings_of_the_application_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = encoded(noisy(), "JPEG")
        before = decode_image(data, "a")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        assert np.array_equal(decode_image(data, "a"), before)

    def test_a_setting_that_passes_damaged_pictures_for_whole_ones_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = encoded(noisy(), "BMP")[:-2000]
        assert reason(data) == "cut short: the BMP data end too early"
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        assert Image.open(io.BytesIO(data)).convert("RGB").size == noisy().size, "Pillow says nothing"
        with pytest.raises(InvalidParameter, match=r"LOAD_TRUNCATED_IMAGES=True: .*; set it to False"):
            decode_image(data, "a")

    def test_no_setting_of_pillow_is_changed(self) -> None:
        before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
        decode_image(encoded(scene(), "JPEG"), "a")
        reason(encoded(scene(), "JPEG")[:200])
        reason(png_claiming(60_000, 60_000))
        assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)

    @pytest.mark.parametrize(
        ("trouble", "expected"),
        [
            (MemoryError(), MemoryError),
            (OSError("out of memory error when reading image file"), MemoryError),
            (OSError(errno.EIO, "Input/output error"), OSError),
        ],
    )
    def test_what_the_bytes_did_not_cause_is_not_a_reason(
        self, monkeypatch: pytest.MonkeyPatch, trouble: Exception, expected: type[Exception]
    ) -> None:
        def load(self: object) -> None:
            raise trouble

        monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
        with pytest.raises(expected) as caught:
            decode_image(encoded(scene(), "JPEG"), "a")
        assert not isinstance(caught.value, UnreadableImage)

    def test_threads_see_the_same_pixels(self) -> None:
        files = [encoded(noisy(100 + number, 90), kind, **options) for number, (kind, options) in enumerate(FORMATS)]
        alone = [decode_image(data, "a") for data in files]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda data: decode_image(data, "a"), files * 4))
        assert all(np.array_equal(got, alone[number % len(files)]) for number, got in enumerate(together))


class TestRefusals:
    @pytest.mark.parametrize(("kind", "options"), FORMATS)
    def test_a_file_that_is_cut_anywhere_is_refused(self, kind: str, options: dict[str, object]) -> None:
        data = encoded(noisy(), kind, **options)
        lengths = [1, 2, 3, 12, 40, *(len(data) * share // 100 for share in (5, 20, 35, 50, 65, 80, 90, 97))]
        for length in lengths:
            assert reason(data[:length])

    def test_a_cut_photo_is_called_cut(self) -> None:
        assert reason(encoded(noisy(), "JPEG")[:-400]) == "cut short: the JPEG data end too early"

    def test_a_png_whose_tail_was_lost_to_zeros_is_refused(self) -> None:
        data = encoded(noisy(), "PNG")
        for share in (50, 90, 99):
            kept = len(data) * share // 100
            assert "PNG" in reason(data[:kept] + bytes(len(data) - kept))

    def test_a_jpeg_of_12_bits_is_not_called_damaged(self) -> None:
        data = bytearray(encoded(noisy(), "JPEG"))
        data[data.index(b"\xff\xc0") + 4] = 12
        assert reason(bytes(data)) == "its pixel layout is one of JPEG that is not read; save it as 8-bit RGB"

    def test_a_png_with_altered_pixels_is_refused(self) -> None:
        data = bytearray(encoded(noisy(), "PNG"))
        data[len(data) // 2] ^= 1
        assert reason(bytes(data)) == "damaged: the PNG data cannot be decoded"

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "no bytes"),
            (bytes(4096), "nothing but zero bytes"),
            (b"\n <!DOCTYPE html><html><body>404</body></html>", "web page"),
            (b'{"error": "not found"}', "not a picture of a kind that is read"),
            (b"%PDF-1.7\n", "not a picture of a kind that is read"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture of a kind that is read"),
            (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture of a kind that is read"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), "HEIC"),
            (b"\xff\xd8\xff\xe0" + bytes(range(256)), "JPEG"),
        ],
    )
    def test_what_is_no_picture_is_called_so(self, data: bytes, words: str) -> None:
        assert words in reason(data)

    def test_a_reason_is_the_same_each_time_and_names_no_object(self) -> None:
        for data in (b"x", encoded(noisy(), "PNG")[:900], encoded(noisy(), "TIFF")[:30], encoded(noisy(), "GIF")[:700]):
            assert reason(data) == reason(bytes(bytearray(data)))
            assert "0x" not in reason(data)
            assert "\n" not in reason(data)

    @pytest.mark.parametrize(
        "data",
        [
            png_claiming(15_000, 15_000),
            png_claiming(2**31 - 1, 2**31 - 1),
            b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 3_000_000, 2_000_000, 1, 24, 0, 0, 0, 0, 0, 0),
            b"P6 20000 20000 255\n" + bytes(100),
        ],
    )
    def test_bombs_are_refused_by_their_header(self, data: bytes) -> None:
        assert reason(data).startswith("too large: ")

    def test_the_limit_is_where_it_is_said_to_be(self) -> None:
        assert PIXEL_LIMIT == 15_000 * 15_000
        assert reason(png_claiming(15_000, 15_000)).startswith("too large: 15000x15000 pixels")
        assert not reason(png_claiming(14_999, 15_000)).startswith("too large")

    @pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
    def test_a_bomb_takes_no_memory(self) -> None:
        script = (
            "import resource\n"
            "from mlsession.images.decode import decode_image\n"
            "from mlsession.errors import UnreadableImage\n"
            "from tests.images.pictures import png_claiming\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n"
            "    decode_image(png_claiming(15_000, 15_000), 'a')\n"
            "except UnreadableImage:\n"
            "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        root = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
        assert int(done.stdout) < 50_000, "KiB; the pixels alone would take 220,000"
