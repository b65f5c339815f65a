"""Decoding and resizing on a device, the CPU in the GPU's place: against Pillow's way."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from mlsession.errors import InvalidParameter, UsageError
from mlsession.extractors.running import decoding
from mlsession.extractors.running.decoding import DeviceDecoder, resized, upright
from mlsession.images.decode import SquareAndWide, prepare_wide
from mlsession.images.geometry import square_box, wide_frame
from mlsession.images.orientation import UPRIGHT
from mlsession.images.plain import as_cut_short
from mlsession.randomness import keyed_generator
from tests.images.pictures import encoded
from tests.photos import PHOTOS

pytestmark = pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")

SIDE = 48
FILES = [path.read_bytes() for path in sorted((PHOTOS / "test" / "Lemon").glob("*.jpg"))[:4]]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(keyed_generator(0, "noise").integers(0, 256, (height, width, 3), dtype=np.uint8))


def photo(width: int, height: int, **options: object) -> bytes:
    """Smooth, so that a decoder's rounding is all that differs."""
    return encoded(noise(9, 7).resize((width, height), Image.Resampling.BICUBIC), "JPEG", **options)


def same(one: SquareAndWide | None, other: SquareAndWide | None) -> bool:
    return one is not None and other is not None and all(map(np.array_equal, one, other))


def on_device(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class TestResizing:
    @pytest.mark.parametrize(
        ("width", "height"), [(64, 64), (97, 65), (300, 218), (301, 200), (640, 480), (1999, 64), (31, 30)]
    )
    def test_it_is_pillows_to_the_bit(self, width: int, height: int) -> None:
        picture = noise(width, height)
        for size, box in (((SIDE, SIDE), square_box(width, height)), wide_frame(width, height, SIDE)):
            expected = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))
            assert np.array_equal(resized(on_device(picture), size, box).numpy(), expected)

    @pytest.mark.parametrize(("width", "height"), [(218, 300), (64, 1999), (701, 702)])
    def test_tall_ones_are_the_same_but_for_the_rounding_in_between(self, width: int, height: int) -> None:
        picture, box = noise(width, height), square_box(width, height)
        expected = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)).astype(int)
        found = resized(on_device(picture), (SIDE, SIDE), box).numpy()
        assert np.abs(found - expected).max() <= 1

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_pictures_are_turned_as_pillow_turns_them(self, turn: int) -> None:
        picture = noise(7, 5)
        expected = picture if turn == 1 else picture.transpose(UPRIGHT[turn])
        assert np.array_equal(upright(on_device(picture), turn).permute(1, 2, 0).numpy(), np.asarray(expected))


class TestDecoding:
    @pytest.fixture
    def decoder(self) -> DeviceDecoder:
        return DeviceDecoder("cpu")

    def test_photos_become_what_pillow_makes_of_them(self, decoder: DeviceDecoder) -> None:
        for data, found in zip(FILES, decoder.prepared(FILES, SIDE, has_wide=True), strict=True):
            expected = prepare_wide(data, "photo", SIDE)
            assert found is not None
            for one, other in zip(found, expected, strict=True):
                assert one.shape == other.shape
                # Pillow scales large photos while it decodes them.
                assert np.abs(one.astype(int) - other).mean() < 1.5

    @pytest.mark.parametrize("turn", range(1, 9))
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
    def test_small_ones_to_a_level(self, decoder: DeviceDecoder, turn: int, options: dict[str, object]) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        data = photo(90, 70, exif=exif, **options)
        found = decoder.prepared([data], SIDE, has_wide=True)[0]
        assert found is not None
        for one, other in zip(found, prepare_wide(data, "photo", SIDE), strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1

    def test_the_rest_is_left_to_pillow(self, decoder: DeviceDecoder) -> None:
        grey = encoded(noise(80, 80).convert("L"), "JPEG")
        files = [FILES[0], grey, FILES[1][:1000], as_cut_short(FILES[2]), encoded(noise(80, 80), "PNG"), FILES[3]]
        found = decoder.prepared(files, SIDE)
        assert [each is not None for each in found] == [True, False, False, False, False, True]
        assert same(found[5], decoder.prepared(FILES[3:4], SIDE)[0])

    def test_what_it_refuses_takes_no_other_with_it(self, decoder: DeviceDecoder) -> None:
        without_tables = re.sub(rb"\xff\xdb\x00\x43.{65}", b"", photo(90, 70), flags=re.DOTALL)
        found = decoder.prepared([FILES[0], without_tables, FILES[1]], SIDE)
        assert [each is not None for each in found] == [True, False, True]
        assert same(found[2], decoder.prepared(FILES[1:2], SIDE)[0])

    def test_many_pixels_are_decoded_in_parts(self, decoder: DeviceDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
        together = decoder.prepared(FILES, SIDE, has_wide=True)
        monkeypatch.setattr(decoding, "PIXELS_AT_ONCE", 1)
        counting = Counting("cpu")
        assert all(map(same, counting.prepared(FILES, SIDE, has_wide=True), together))
        assert counting.asked[1:] == [1] * len(FILES)

    @pytest.mark.parametrize("said", ["CUDA out of memory", "Failed to decode batch: 5", "CUDA error: unspecified"])
    def test_where_the_device_fails_nothing_is_said_about_the_file(self, said: str) -> None:
        with pytest.raises(UsageError, match=f"the GPU has failed, or has no memory left for pictures .{said}"):
            Failing("cpu", said).prepared(FILES, SIDE)

    def test_what_the_device_does_not_know_is_left_to_pillow(self) -> None:
        """NVJPEG_STATUS_JPEG_NOT_SUPPORTED."""
        assert Failing("cpu", "Failed to decode batch: 4").prepared(FILES[:2], SIDE) == [None, None]


def test_a_place_that_cannot_decode_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"decoder='nvjpeg': cannot be had on cuda:99: "):
        DeviceDecoder("cuda:99")


class Failing(DeviceDecoder):
    """Cannot do anything once it is made."""

    def __init__(self, place: str, said: str) -> None:
        super().__init__(place)
        self.said = said

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        if hasattr(self, "said"):
            raise RuntimeError(self.said)
        return super()._decoded(files)


class Counting(DeviceDecoder):
    """Says how many files it was given at once."""

    def __init__(self, place: str) -> None:
        self.asked = list[int]()
        super().__init__(place)

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        self.asked.append(len(files))
        return super()._decoded(files)
