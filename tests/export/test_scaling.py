from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mlsession.export.scaling import AnySize, squares
from mlsession.images.geometry import to_square
from mlsession.randomness import keyed_generator
from tests.export.networks import MeanColour

SIDE = 64


def noise(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    random = keyed_generator(0, "scaling", height, width)
    return random.integers(0, 256, size=(height, width, 3)).astype(np.uint8)


def scaled(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int = SIDE) -> torch.Tensor:
    return squares(torch.from_numpy(picture).permute(2, 0, 1)[None], side)[0].permute(1, 2, 0)


@pytest.mark.parametrize(
    ("height", "width"),
    [(64, 64), (65, 64), (64, 67), (75, 100), (301, 400), (211, 97), (17, 30), (2, 3), (1, 1), (64, 5000), (640, 480)],
)
def test_pictures_are_prepared_as_for_training(height: int, width: int) -> None:
    picture = noise(height, width)
    expected = np.array(to_square(Image.fromarray(picture), SIDE)).astype(int)
    found = scaled(picture).numpy()
    assert found.shape == (SIDE, SIDE, 3)
    assert np.array_equal(found, found.round())
    assert np.abs(found - expected).max() <= 1
    # Rounding alone: on the whole neither brighter nor darker, and never another place.
    assert abs((found - expected).mean()) < 0.02


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = noise(SIDE, SIDE)
    assert np.array_equal(scaled(picture).numpy(), picture)


def test_a_batch_is_its_pictures() -> None:
    pictures = torch.from_numpy(np.stack([noise(50, 90), noise(50, 90)[::-1]])).permute(0, 3, 1, 2)
    together = squares(pictures, SIDE)
    assert together.shape == (2, 3, SIDE, SIDE)
    for index in range(2):
        assert torch.equal(together[index : index + 1], squares(pictures[index : index + 1], SIDE))


def test_both_layouts_give_the_same() -> None:
    picture, network = torch.from_numpy(noise(50, 90))[None], MeanColour(3)
    last = AnySize(network, SIDE, channels_last=True)(picture)
    assert torch.equal(last, AnySize(network, SIDE, channels_last=False)(picture.permute(0, 3, 1, 2)))
