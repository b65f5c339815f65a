"""Pixels of views: what each effect does, on patterns where that can be told, and that nothing else decides."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mlsession.augment.options import Rotate, augmentation_options
from mlsession.augment.transforms import Augmenter
from mlsession.augment.views import Effect, ViewPlan
from mlsession.images.decode import prepare_image, prepare_wide

from .pictures import Pixels, digest_of, gradient, photo_bytes, png

pytestmark = pytest.mark.sampled(0.6)

SIDE = 96
ALL = augmentation_options({"blur", "crop", "expose", "flip", "flip-vertical", "noise", "rotate"})


@pytest.fixture(scope="module")
def augmenter() -> Augmenter:
    return Augmenter()


def made(augmenter: Augmenter, kind: str, pixels: Pixels, of: int = SIDE, **values: float) -> Pixels:
    """A view, `of` x `of`, of a picture."""
    square, wide = prepare_wide(png(pixels), "picture", of)
    return augmenter.apply(Effect(kind, values), square, wide)


def square_of(pixels: Pixels, side: int = SIDE) -> Pixels:
    return prepare_image(png(pixels), "picture", side)


def views(augmenter: Augmenter, data: bytes, seed: int = 0) -> list[bytes]:
    plan, (square, wide) = ViewPlan(options=ALL, seed=seed), prepare_wide(data, "photo", SIDE)
    effects = [plan.effect(digest_of(data), view) for view in range(1, len(plan))]
    return [augmenter.apply(effect, square, wide).tobytes() for effect in effects]


def test_views_have_the_shape_of_the_picture_and_leave_it_alone(augmenter: Augmenter) -> None:
    data = photo_bytes()
    plan, (square, wide) = ViewPlan(options=ALL), prepare_wide(data, "photo", SIDE)
    before = square.copy(), wide.copy()
    for view in range(1, len(plan)):
        view_pixels = augmenter.apply(plan.effect(digest_of(data), view), square, wide)
        assert view_pixels.shape == (SIDE, SIDE, 3)
        assert view_pixels.dtype == np.uint8
        assert view_pixels.tobytes() != square.tobytes()
        assert view_pixels.flags["C_CONTIGUOUS"]
    assert np.array_equal(square, before[0])
    assert np.array_equal(wide, before[1])


def test_any_thread_in_any_order_makes_the_same_views(augmenter: Augmenter) -> None:
    photos = [photo_bytes(number) for number in range(4)]
    expected = [views(augmenter, data) for data in photos]
    cv2.setRNGSeed(7)
    np.random.seed(7)
    with ThreadPoolExecutor(8) as threads:
        order = [3, 1, 0, 2] * 4
        found = list(threads.map(lambda number: views(Augmenter(), photos[number]), order))
    assert all(found[place] == expected[number] for place, number in enumerate(order))
    flips = [(ViewPlan(options=ALL).effect(b"", view).kind == "flip") for view in range(1, len(ViewPlan(options=ALL)))]
    other_seed = views(augmenter, photos[0], seed=1)
    assert [one == other for one, other in zip(expected[0], other_seed, strict=True)] == flips


def test_flips_mirror_the_very_pixels(augmenter: Augmenter) -> None:
    pixels = gradient(160, 120)
    square = square_of(pixels)
    assert np.array_equal(made(augmenter, "flip", pixels, horizontal=1, vertical=0), square[:, ::-1])
    assert np.array_equal(made(augmenter, "flip", pixels, horizontal=0, vertical=1), square[::-1])
    assert np.array_equal(made(augmenter, "flip", pixels, horizontal=1, vertical=1), square[::-1, ::-1])


def test_a_stop_doubles_the_light(augmenter: Augmenter) -> None:
    pixels = gradient(120, 120)
    before = square_of(pixels).astype(float)
    for stops in (-1.0, 0.5, 1.0):
        light = (made(augmenter, "expose", pixels, stops=stops) / 255.0) ** 2.2
        expected = np.minimum((before / 255) ** 2.2 * 2**stops, 1.0)
        assert np.abs(light - expected).max() < 0.012
    assert made(augmenter, "expose", pixels, stops=4.0).max() == 255


def test_noise_has_the_deviation_that_was_asked_for_and_follows_its_seed(augmenter: Augmenter) -> None:
    pixels = np.full((128, 128, 3), 128, dtype=np.uint8)
    noisy = made(augmenter, "noise", pixels, of=128, deviation=12.0, seed=1).astype(float)
    assert abs(noisy.mean() - 128) < 0.5
    assert abs(noisy.std() - 12) < 0.5
    channels = (noisy - 128).reshape(-1, 3).T
    assert np.abs(np.corrcoef(channels) - np.eye(3)).max() < 0.05
    assert not np.array_equal(noisy, made(augmenter, "noise", pixels, of=128, deviation=12.0, seed=2))


@pytest.mark.parametrize("side", [128, 256])
def test_a_blur_means_the_same_at_every_size(augmenter: Augmenter, side: int) -> None:
    """A sharp edge becomes the integral of a Gaussian, whose deviation is the share of the side asked for."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[:, side // 2 :] = 255
    blurred = made(augmenter, "blur", pixels, of=side, radius=0.02)[side // 2, :, 0].astype(float)
    slope = np.diff(blurred)
    places = np.arange(len(slope)) + 0.5
    mean = (slope * places).sum() / slope.sum()
    deviation = np.sqrt((slope * (places - mean) ** 2).sum() / slope.sum())
    assert abs(deviation / side - 0.02) < 0.002


def test_a_crop_is_a_sharp_square_of_the_picture(augmenter: Augmenter) -> None:
    pixels = gradient(600, 400)
    corner = made(augmenter, "crop", pixels, side=0.5, across=0.0, down=0.0)
    assert np.abs(corner.astype(int) - square_of(pixels[:200, :200])).max() <= 2
    opposite = made(augmenter, "crop", pixels, side=0.5, across=1.0, down=1.0)
    assert np.abs(opposite.astype(int) - square_of(pixels[200:, 400:])).max() <= 2
    # As sharp as the picture is: stripes that the network's square cannot show any more are there.
    stripes = np.zeros((2 * SIDE, 2 * SIDE, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert made(augmenter, "crop", stripes, side=0.5, across=0.5, down=0.5).std() > 100
    assert square_of(stripes).std() < 40


def test_a_rotation_turns_counter_clockwise_about_the_middle(augmenter: Augmenter) -> None:
    pixels = gradient(300, 300)
    for degrees in (-15.0, 10.0, 90.0):
        turned = made(augmenter, "rotate", pixels, degrees=degrees).astype(float)
        inner = turned[SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3]
        down, right = (np.gradient(inner[..., 0], axis=axis).mean() for axis in (0, 1))
        # Red grew to the right; "right" now points up by the angle.
        assert abs(np.degrees(np.arctan2(-down, right)) - degrees) < 2
        assert np.abs(turned[SIDE // 2, SIDE // 2] - square_of(pixels)[SIDE // 2, SIDE // 2]).max() < 3


@pytest.mark.parametrize("shape", [(300, 300), (600, 300), (240, 900)])
def test_a_rotation_leaves_no_black_corners(augmenter: Augmenter, shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 200, dtype=np.uint8)
    for degrees in Rotate().degrees:
        assert made(augmenter, "rotate", pixels, degrees=degrees).min() == 200


@pytest.mark.parametrize("shape", [(1, 1), (2, 700), (700, 3)])
def test_pictures_of_any_shape_have_views(augmenter: Augmenter, shape: tuple[int, int]) -> None:
    data = png(np.full((*shape, 3), 90, dtype=np.uint8))
    assert {len(view) for view in views(augmenter, data)} == {SIDE * SIDE * 3}


def test_loading_asks_no_server_and_loads_nothing_before_it_is_used() -> None:
    code = """
import os, sys, urllib.request
def refuse(*args, **kwargs): raise AssertionError("asked a server")
urllib.request.OpenerDirector.open = refuse
import mlsession.training.parameters
assert not {"albumentations", "cv2", "torch", "PIL"} & set(sys.modules)
from mlsession.augment.transforms import Augmenter
assert "albumentations" not in sys.modules
Augmenter()
assert "albumentations" in sys.modules
print(os.environ.get("NO_ALBUMENTATIONS_UPDATE"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "None"
    assert "asked" not in done.stderr


def test_loading_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "0")
    Augmenter()
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "0"
