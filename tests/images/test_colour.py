from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageCms

from mlsession.errors import UnreadableImage
from mlsession.images.decode import decode_image
from tests.images.pictures import CORNERS, corners, encoded, scene, tiff
from tests.images.profiles import INKS, grey_profile, ink_profile, level, level_of_lightness

WHITE = [255, 255, 255]


def swapped_profile() -> bytes:
    """sRGB with red and blue exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile.count(b"rXYZ") == profile.count(b"bXYZ") == 1
    swapped = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


class TestLayouts:
    def test_ink(self) -> None:
        for kind in ("JPEG", "TIFF"):
            pixels = decode_image(encoded(scene().convert("CMYK"), kind), "a")
            assert np.abs(corners(pixels) - CORNERS).max() <= 40

    @pytest.mark.parametrize("mode", ["P", "YCbCr"])
    def test_palette_and_luminance(self, mode: str) -> None:
        kind = "PNG" if mode == "P" else "TIFF"
        pixels = decode_image(encoded(scene().convert(mode), kind), "a")
        assert np.abs(corners(pixels) - CORNERS).max() <= 40

    def test_grey_is_repeated(self) -> None:
        grey = scene().convert("L")
        assert np.array_equal(
            decode_image(encoded(grey, "PNG"), "a"), np.repeat(np.asarray(grey)[..., None], 3, axis=2)
        )

    @pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {"compression": "group4"})])
    def test_one_bit(self, kind: str, options: dict[str, object]) -> None:
        bits = scene().convert("L").point(lambda grey: 255 * (grey > 128)).convert("1")
        pixels = decode_image(encoded(bits, kind, **options), "a")
        assert np.array_equal(pixels[..., 0] == 255, np.asarray(bits))
        assert set(np.unique(pixels)) == {0, 255}


class TestTransparency:
    def half_clear(self) -> Image.Image:
        """The scene with a fully clear stripe of noise down the middle."""
        picture = scene().convert("RGBA")
        pixels = np.asarray(picture).copy()
        pixels[:, 50:70, :3] = np.arange(80 * 20 * 3).reshape(80, 20, 3) % 251
        pixels[:, 50:70, 3] = 0
        return Image.fromarray(pixels)

    @pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
    def test_clear_is_white_whatever_lies_under_it(self, kind: str, options: dict[str, object]) -> None:
        pixels = decode_image(encoded(self.half_clear(), kind, **options), "a")
        assert (pixels[:, 50:70] == 255).all()
        assert np.array_equal(pixels[:, :40], np.asarray(scene())[:, :40])

    def test_half_clear_is_half_white(self) -> None:
        pixels = decode_image(encoded(Image.new("RGBA", (4, 4), (200, 0, 100, 128)), "PNG"), "a")
        assert np.abs(pixels[0, 0].astype(int) - [227, 127, 177]).max() <= 1

    def test_grey_with_alpha(self) -> None:
        assert decode_image(encoded(Image.new("LA", (4, 4), (10, 0)), "PNG"), "a")[0, 0].tolist() == WHITE
        assert decode_image(encoded(Image.new("LA", (4, 4), (10, 255)), "PNG"), "a")[0, 0].tolist() == [10, 10, 10]

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_a_clear_entry_of_a_palette(self, kind: str) -> None:
        picture = Image.new("P", (4, 4), 1)
        picture.putpalette([255, 0, 0, 0, 0, 255])
        picture.putpixel((0, 0), 0)
        pixels = decode_image(encoded(picture, kind, transparency=0), "a")
        assert pixels[0, 0].tolist() == WHITE
        assert pixels[3, 3].tolist() == [0, 0, 255]

    def test_a_palette_with_many_alphas(self) -> None:
        picture = Image.new("P", (4, 4), 1)
        picture.putpalette([255, 0, 0, 0, 0, 255])
        picture.putpixel((0, 0), 0)
        pixels = decode_image(encoded(picture, "PNG", transparency=bytes([0, 128])), "a")
        assert pixels[0, 0].tolist() == WHITE
        assert np.abs(pixels[3, 3].astype(int) - [127, 127, 255]).max() <= 1

    def test_one_clear_colour(self) -> None:
        picture = Image.new("RGB", (4, 4), (9, 8, 7))
        picture.putpixel((0, 0), (1, 2, 3))
        pixels = decode_image(encoded(picture, "PNG", transparency=(9, 8, 7)), "a")
        assert pixels[3, 3].tolist() == WHITE
        assert pixels[0, 0].tolist() == [1, 2, 3]

    def test_one_clear_value_of_16_bits(self) -> None:
        values = np.array([[513, 514]], np.uint16)
        pixels = decode_image(encoded(Image.fromarray(values), "PNG", transparency=514), "a")
        assert pixels[0].tolist() == [[2, 2, 2], WHITE]


class TestDepth:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_16_bits_are_scaled_not_clipped(self, kind: str) -> None:
        slope = np.tile(np.linspace(0, 65535, 256, dtype=np.uint16), (4, 1))
        pixels = decode_image(encoded(Image.fromarray(slope), kind), "a")
        assert np.array_equal(pixels[0, :, 0], np.arange(256))

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
            (np.array([[-100.0, 0.0, 100.0]], np.float32), [0, 128, 255]),
            (np.array([[0.0, 2.0, np.nan]], np.float32), [0, 255, 0]),
            (np.array([[0.0, 2.0, np.inf]], np.float32), [0, 255, 255]),
            (np.array([[7.0, 7.0, 7.0]], np.float32), [0, 0, 0]),
            (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
            (np.array([[-1000, 0, 1000]], np.int32), [0, 128, 255]),
            (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        ],
    )
    def test_values_without_an_agreed_white(self, values: np.ndarray[tuple[int, int]], expected: list[int]) -> None:
        pixels = decode_image(encoded(Image.fromarray(values), "TIFF"), "a")
        assert pixels[0, :, 0].tolist() == expected

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
            (np.array([[-(2**15), 0, 2**15 - 1]], np.int16), [0, 128, 255]),
            (np.array([[-128, 0, 127]], np.int8), [0, 128, 255]),
            (np.array([[0, 9, 99]], np.int8), [0, 9, 99]),
            (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [0, 128, 255]),
            (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        ],
    )
    @pytest.mark.parametrize("photometric", [1, 0])
    def test_samples_of_tiff(
        self, values: np.ndarray[tuple[int, int]], expected: list[int], photometric: int, order: Literal["<", ">"]
    ) -> None:
        data = tiff(values, order=order, photometric=photometric)
        is_big = order == ">"
        of_white_as_zero = values.dtype == np.float32 or (values.dtype == np.uint16 and not is_big)
        if of_white_as_zero if photometric == 0 else not (is_big and values.dtype == np.uint32):
            wanted = expected if photometric else [255 - level for level in expected]
            assert decode_image(data, "a")[0, :, 0].tolist() == wanted
        else:
            with pytest.raises(UnreadableImage, match="its pixel layout is one of TIFF that is not read"):
                decode_image(data, "a")

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("planes", [False, True])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.uint32])
    def test_colours_of_tiff(self, dtype: type[np.generic], planes: bool, order: Literal["<", ">"]) -> None:
        deep = np.asarray(scene()).astype(dtype) * dtype({1: 1, 2: 257, 4: 2**24}[np.dtype(dtype).itemsize])
        data = tiff(deep, order=order, photometric=2, planes=planes)
        if dtype is np.uint8 or (dtype is np.uint16 and not planes):
            assert np.array_equal(decode_image(data, "a"), np.asarray(scene()))
        else:
            with pytest.raises(UnreadableImage, match="its pixel layout is one of TIFF that is not read"):
                decode_image(data, "a")

    def test_nothing_finite_is_refused(self) -> None:
        data = encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF")
        with pytest.raises(UnreadableImage, match="finite"):
            decode_image(data, "a")


class TestProfiles:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_colours_go_through_the_profile(self, kind: str) -> None:
        pixels = decode_image(encoded(scene(), kind, icc_profile=swapped_profile()), "a")
        assert np.abs(corners(pixels) - np.array(CORNERS)[:, ::-1]).max() <= 3

    def test_alpha_survives_the_profile(self) -> None:
        picture = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
        picture.putpixel((0, 0), (255, 0, 0, 0))
        pixels = decode_image(encoded(picture, "PNG", icc_profile=swapped_profile()), "a")
        assert pixels[0, 0].tolist() == WHITE
        assert np.abs(pixels[3, 3].astype(int) - [0, 0, 255]).max() <= 3

    def test_srgb_changes_nothing(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert np.array_equal(decode_image(encoded(scene(), "PNG", icc_profile=profile), "a"), np.asarray(scene()))

    @pytest.mark.parametrize("profile", [b"rubbish", swapped_profile()[:200], bytes(500)])
    def test_a_damaged_profile_is_as_if_absent(self, profile: bytes) -> None:
        assert np.array_equal(decode_image(encoded(scene(), "PNG", icc_profile=profile), "a"), np.asarray(scene()))

    def test_a_profile_of_another_kind_of_picture_is_as_if_absent(self) -> None:
        grey = scene().convert("L")
        pixels = decode_image(encoded(grey, "PNG", icc_profile=swapped_profile()), "a")
        assert np.array_equal(pixels[..., 0], np.asarray(grey))

    @pytest.mark.parametrize("gamma", [1.0, 1.8, 3.0])
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_grey_goes_through_its_profile(self, kind: str, gamma: float) -> None:
        picture = Image.new("L", (64, 16))
        picture.paste(40, (0, 0, 32, 16))
        picture.paste(190, (32, 0, 64, 16))
        pixels = decode_image(encoded(picture, kind, icc_profile=grey_profile(gamma)), "a")
        for value, found in ((40, pixels[8, 8]), (190, pixels[8, 56])):
            assert np.abs(found - level((value / 255) ** gamma)).max() <= 1.5

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    @pytest.mark.parametrize(
        "inks", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 102)]
    )
    def test_ink_goes_through_its_profile(self, kind: str, inks: tuple[int, int, int, int]) -> None:
        """Colourless here, where the plain formula gives full colours."""
        picture = Image.new("CMYK", (16, 16), inks)
        pixels = decode_image(encoded(picture, kind, icc_profile=ink_profile()), "a")
        lightness = 100.0
        for share, amount in zip(INKS, inks, strict=True):
            lightness *= 1 - share * amount / 255
        assert np.abs(pixels[8, 8] - level_of_lightness(lightness)).max() <= 2.5

    def test_profiles_of_ink_and_grey_are_for_such_pictures_only(self) -> None:
        for profile in (ink_profile(), grey_profile(3.0)):
            assert np.array_equal(decode_image(encoded(scene(), "PNG", icc_profile=profile), "a"), np.asarray(scene()))
        ink = encoded(scene().convert("CMYK"), "TIFF", icc_profile=grey_profile(3.0))
        assert np.array_equal(decode_image(ink, "a"), decode_image(encoded(scene().convert("CMYK"), "TIFF"), "a"))
