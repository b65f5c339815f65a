from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlsession.errors import UnreadableImage
from mlsession.images.decode import decode_image, inspect_image
from tests.images.pictures import (
    CORNERS,
    STORED_AS,
    corners,
    encoded,
    exif_orientation,
    heic,
    icon,
    noisy,
    png_chunk,
    png_claiming,
    scene,
    tiff,
)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode_image(data, "a")
    return caught.value.reason


class TestTarga:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
    @pytest.mark.parametrize("options", [{}, {"compression": "tga_rle"}, {"orientation": 1}])
    def test_all_that_pillow_writes(self, mode: str, options: dict[str, object]) -> None:
        picture = scene().convert(mode)
        data = encoded(picture, "TGA", **options)
        expected = np.asarray(picture.convert("RGB"))
        for one in (data, data[:-26]):  # With and without the footer of version 2.
            assert np.abs(decode_image(one, "no ending").astype(int) - expected).max() <= 1
            assert inspect_image(one, "a").format == "TGA"

    def test_a_cut_one_is_refused(self) -> None:
        for options in ({}, {"compression": "tga_rle"}):
            data = encoded(noisy(), "TGA", **options)
            for share in (30, 60, 90):
                assert "cut short" in reason(data[: len(data) * share // 100])

    @pytest.mark.parametrize("place", [1, 2, 3, 5, 7, 12, 14, 16, 17])
    def test_every_byte_of_the_header_counts(self, place: int) -> None:
        data = bytearray(encoded(scene(), "TGA"))
        data[place : place + 2] = b"\0\0" if place in (12, 14) else bytes([0xC3, data[place + 1]])
        assert "not a picture of a kind that is read" in reason(bytes(data))

    def test_random_bytes_are_none(self) -> None:
        generator = np.random.Generator(np.random.Philox(key=1))
        for _ in range(2000):
            data = b"\7\0" + bytes([int(generator.integers(12))]) + generator.bytes(61)
            assert "not a picture of a kind that is read" in reason(data)


class TestHEIC:
    @pytest.mark.parametrize("orientation", STORED_AS)
    def test_it_is_turned_once(self, orientation: int) -> None:
        turn = STORED_AS[orientation]
        stored = scene() if turn is None else scene().transpose(turn)
        pixels = decode_image(heic(stored, exif_orientation(orientation)), "a")
        assert pixels.shape == (80, 120, 3)
        assert np.abs(corners(pixels) - CORNERS).max() <= 40

    @pytest.mark.parametrize("mode", ["L", "RGBA"])
    def test_grey_and_transparent(self, mode: str) -> None:
        pixels = decode_image(heic(scene().convert(mode)), "a")
        assert np.abs(corners(pixels) - corners(np.asarray(scene().convert(mode).convert("RGB")))).max() <= 40

    @pytest.mark.parametrize("share", [3, 20, 50, 80, 97])
    def test_a_cut_one_is_refused(self, share: int) -> None:
        data = heic(noisy())
        assert "HEIC" in reason(data[: len(data) * share // 100])

    def test_without_the_extra_it_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *more: None if name == "pillow_heif" else find(name, *more)
        )
        assert reason(heic(scene())).endswith(
            "read with a package that is missing here: pip install 'mlsession[heic]', or convert it to JPEG"
        )

    def test_nothing_is_registered_with_pillow(self) -> None:
        code = (
            "import io, sys\nfrom PIL import Image\nfrom mlsession.images.decode import decode_image\n"
            "from tests.images.pictures import heic, scene\n"
            "assert 'pillow_heif' not in sys.modules\n"
            "decode_image(heic(scene()), 'a')\nImage.init()\nassert 'HEIF' not in Image.OPEN\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


class TestIcons:
    def test_the_largest_picture_counts(self) -> None:
        small = encoded(Image.new("RGB", (64, 64), "magenta"), "PNG")
        assert np.array_equal(
            decode_image(icon(encoded(scene(128, 128), "PNG"), small, small), "a"), np.asarray(scene(128, 128))
        )

    @pytest.mark.parametrize("kind", ["bmp", "png"])
    def test_as_pillow_writes_them(self, kind: str) -> None:
        data = encoded(scene(64, 64), "ICO", bitmap_format=kind, sizes=[(32, 32), (64, 64)])
        pixels = decode_image(data, "a")
        assert pixels.shape == (64, 64, 3)
        assert np.abs(corners(pixels) - CORNERS).max() <= 40

    def test_its_parts_are_files_like_others(self) -> None:
        assert reason(icon(png_claiming(15_000, 15_000))).startswith("too large: 15000x15000")
        assert "PNG" in reason(icon(encoded(noisy(), "PNG")[:2000]))
        bitmap = struct.pack("<IiiHHIIiiII", 40, 60_000, 120_000, 1, 32, 0, 0, 0, 0, 0, 0)
        assert reason(icon(bitmap + bytes(100))).startswith("too large")

    @pytest.mark.parametrize(
        "data",
        [
            *(b"\0\0\1\0", b"\0\0\1\0\0\0", b"\0\0\1\0\5\0", icon(b"")),
            icon(struct.pack("<IiiHHII", 40, 9, 18, 1, 24, 99, 0) + b"rubbish" * 9),
        ],
    )
    def test_one_without_pictures_is_refused(self, data: bytes) -> None:
        assert "ICO" in reason(data)


class TestOrientationElsewhere:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_xmp_counts_where_there_is_no_exif(self, kind: str) -> None:
        packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
        turned = scene().transpose(Image.Transpose.ROTATE_180)
        if kind == "PNG":
            text = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
            plain = encoded(turned, "PNG")
            data = plain[:33] + png_chunk(b"iTXt", text) + plain[33:]
        elif kind == "TIFF":
            data = encoded(turned, "TIFF", tiffinfo={700: packet})
        else:
            data = encoded(turned, kind, xmp=packet)
        assert np.abs(corners(decode_image(data, "a")) - CORNERS).max() <= 40

    def test_exif_in_jpeg_2000(self) -> None:
        plain = encoded(scene().transpose(STORED_AS[6] or Image.Transpose.ROTATE_90), "JPEG2000")
        for block in (exif_orientation(6), exif_orientation(6).removeprefix(b"Exif\0\0")):
            box = struct.pack(">I", 24 + len(block)) + b"uuidJpgTiffExif->JP2" + block
            place = plain.index(b"jp2c") - 4
            # The codestream's box may have no length, which stands for "to the end".
            pixels = decode_image(plain[:place] + box + plain[place:], "a")
            assert pixels.shape == (80, 120, 3)
            assert np.abs(corners(pixels) - CORNERS).max() <= 40


class TestBombs:
    @pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
    def test_bombs_take_no_memory(self) -> None:
        script = (
            "import resource\n"
            "from mlsession.images.decode import decode_image\n"
            "from mlsession.errors import UnreadableImage\n"
            "from tests.images.pictures import heic, scene\n"
            "from tests.images.test_formats import bombs\n"
            "files = bombs()\n"
            "decode_image(heic(scene()), 'a')\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "for data in files:\n"
            "    try:\n"
            "        print(decode_image(data, 'a').size, end=' ')\n"
            "    except UnreadableImage:\n"
            "        print('refused', end=' ')\n"
            "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        root = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
        outcomes = [line.split() for line in done.stdout.splitlines()]
        read = [outcome for outcome, _ in outcomes if outcome != "refused"]
        assert (len(outcomes), read) == (12, [str(3 * 120 * 80)] * 3), "of texts and profiles nobody needs all"
        assert max(int(grown) for _, grown in outcomes) < 80_000, "KiB; the pixels alone would take 220,000"


def bombs() -> list[bytes]:
    """Small files that claim, or unpack to, hundreds of megabytes and more."""
    plain, zeros = encoded(scene(), "PNG"), zlib.compress(bytes(2**26), 1)
    return [
        png_claiming(15_000, 15_000),
        icon(png_claiming(15_000, 15_000)),
        plain[:33] + png_chunk(b"zTXt", b"Comment\0\0" + zeros) + plain[33:],
        plain[:33] + png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + zeros) + plain[33:],
        plain[:33] + png_chunk(b"iCCP", b"profile\0\0" + zeros) + plain[33:],
        tiff(np.zeros((8, 8, 3), np.uint8), photometric=2, t322=60_000, t323=60_000),
        tiff(np.zeros((8, 8), np.uint8), t256=200_000, t257=200_000),
        b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 3_000_000, 2_000_000, 1, 24, 0, 0, 0, 0, 0, 0),
        b"P6 20000 20000 255\n" + bytes(100),
        bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]) + struct.pack("<HH", 65_535, 65_535) + b"\x18\0" + bytes(100),
        encoded(scene(), "JPEG").replace(struct.pack(">HH", 80, 120), struct.pack(">HH", 65_500, 65_500)),
    ]
