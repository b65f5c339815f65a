from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mlsession.errors import InvalidParameter, UnreadableImage
from mlsession.images.decode import decode_image, inspect_image, prepare_image
from mlsession.images.geometry import square_box, to_square
from tests.images.pictures import STORED_AS, encoded, exif_orientation, noisy, scene
from tests.photos import PHOTOS


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((256, 256), (0, 0, 256, 256)),
        ((300, 200), (50, 0, 250, 200)),
        ((200, 301), (0, 50.5, 200, 250.5)),
        ((4000, 1), (1999.5, 0, 2000.5, 1)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_the_centred_square(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    assert square_box(*size) == box


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (2, 3), (255, 257), (640, 480), (480, 641)])
@pytest.mark.parametrize("side", [1, 7, 256])
def test_every_shape_becomes_the_square(size: tuple[int, int], side: int) -> None:
    pixels = prepare_image(encoded(noisy(*size), "PNG"), "a", side)
    assert pixels.shape == (side, side, 3)
    assert pixels.dtype == np.uint8


def test_the_default_side_leaves_a_picture_of_that_size_alone() -> None:
    picture = noisy(256, 256)
    assert np.array_equal(prepare_image(encoded(picture, "PNG"), "a"), np.asarray(picture))


def test_one_pass_equals_resize_then_crop() -> None:
    picture = noisy(768, 512)
    whole = picture.resize((384, 256), Image.Resampling.BILINEAR)
    two_steps = np.asarray(whole.crop((64, 0, 320, 256)))
    assert np.array_equal(np.asarray(to_square(picture, 256)), two_steps)


def test_shrinking_averages() -> None:
    """Without antialiasing a fine checkerboard turns into pure black, pure white or stripes."""
    board = Image.fromarray((np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    inner = np.asarray(to_square(board, 256))[4:-4, 4:-4]
    assert np.abs(inner.astype(int) - 128).max() <= 2


def test_a_single_pixel_fills_the_square() -> None:
    pixels = prepare_image(encoded(Image.new("RGB", (1, 1), (12, 34, 56)), "PNG"), "a")
    assert (pixels == (12, 34, 56)).all()


@pytest.mark.parametrize("orientation", STORED_AS)
def test_turned_by_exif_equals_turned_pixels(orientation: int) -> None:
    turn = STORED_AS[orientation]
    upright = noisy(333, 300)
    stored = upright if turn is None else upright.transpose(turn)
    turned = prepare_image(encoded(stored, "PNG", exif=exif_orientation(orientation)[6:]), "a")
    assert np.array_equal(turned, prepare_image(encoded(upright, "PNG"), "a"))


def test_preparing_is_decoding_and_squaring() -> None:
    data = encoded(scene(500, 400), "JPEG")
    expected = to_square(Image.fromarray(decode_image(data, "a")), 256)
    assert np.array_equal(prepare_image(data, "a"), np.asarray(expected))


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}, {"progressive": True}])
def test_a_photo_decoded_at_a_part_of_its_size_is_nearly_the_same(options: dict[str, object]) -> None:
    """Within what docs/images.md says."""
    with Image.open(min(PHOTOS.rglob("*.jpg"))) as photo:
        large = photo.convert("RGB").resize((1536, 1100), Image.Resampling.BICUBIC)
    data = encoded(large, "JPEG", **options)
    whole, part = decode_image(data, "a"), inspect_image(data, "a", 512).picture
    assert part.size == (768, 550)
    difference = np.abs(prepare_image(data, "a").astype(int) - np.asarray(to_square(Image.fromarray(whole), 256)))
    assert difference.mean() <= 0.5
    assert difference.max() <= 16
    assert difference.any(), "both were decoded alike"


def test_errors() -> None:
    with pytest.raises(InvalidParameter, match="side=0"):
        prepare_image(encoded(scene(), "PNG"), "a", 0)
    with pytest.raises(UnreadableImage, match="cut short"):
        prepare_image(encoded(noisy(), "JPEG")[:-300], "a")
