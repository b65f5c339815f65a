"""The course, the schedule and the blending: each image once an epoch, whatever shares the steps; pure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.augment.epochs import EpochMaker, EpochPlan, cropped, flipped
from mlsession.augment.options import augmentation_options
from mlsession.augment.transforms import Augmenter
from mlsession.augment.views import Effect
from mlsession.finetuning.course import CHECKED, Course, batch_size_for, share_of
from mlsession.finetuning.scaling import PATIENCE, LossScale
from mlsession.finetuning.schedule import average_decay, learning_rate_factor
from mlsession.finetuning.targets import blended, mixing, soft_labels
from mlsession.images.decode import prepare_image
from tests.augment.pictures import gradient, photo_bytes, png

sizes = st.integers(1, 200)


@settings(max_examples=30, deadline=None)
@given(training=sizes, validation=st.integers(0, 100), batch=sizes, epochs=st.integers(1, 4), seed=st.integers(0, 9))
def test_an_epoch_has_each_image_once(training: int, validation: int, batch: int, epochs: int, seed: int) -> None:
    course = Course(epochs=epochs, training=training, validation=validation, batch_size=batch)
    turns = [course.turn(number) for number in range(course.turns)]
    done = 0
    for number, turn in enumerate(turns):
        assert course.images_before(number) == done
        done += len(course.trained(seed, turn) if turn.is_step else course.checked(turn))
    assert done == course.images == epochs * (training + validation)
    for epoch in range(epochs):
        steps = [course.trained(seed, turn) for turn in turns if turn.epoch == epoch and turn.is_step]
        checks = [course.checked(turn) for turn in turns if turn.epoch == epoch and not turn.is_step]
        assert sorted(np.concatenate(steps).tolist()) == list(range(training))
        assert np.concatenate([*checks, []]).tolist() == list(range(validation))
        lengths = [len(step) for step in steps]
        assert max(lengths) <= batch
        assert max(lengths) - min(lengths) <= 1
        assert all(len(check) <= CHECKED for check in checks)
    assert [turn.ends_epoch for turn in turns] == [
        (number + 1) % (len(turns) // epochs) == 0 for number in range(len(turns))
    ]


@given(count=sizes, size=st.integers(1, 7))
def test_shares_are_the_whole_in_order(count: int, size: int) -> None:
    shares = [list(range(count))[share_of(count, rank, size)] for rank in range(size)]
    assert [one for share in shares for one in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_epochs_and_seeds_differ() -> None:
    course = Course(epochs=2, training=50, validation=0, batch_size=50)
    first, second = (course.trained(0, course.turn(number)).tolist() for number in range(2))
    assert len({tuple(first), tuple(second), tuple(course.trained(1, course.turn(0)).tolist())}) == 3


def test_few_images_have_small_steps() -> None:
    assert [batch_size_for(images) for images in (1, 5, 40, 271, 272, 717, 1_087, 1_100, 10**6)] == [
        *(1, 5, 8, 8, 16, 32, 64, 64, 64)
    ]


@given(steps=st.integers(1, 400), warmup=st.floats(0, 0.99))
def test_the_learning_rate_rises_then_falls(steps: int, warmup: float) -> None:
    rising = round(warmup * steps)
    for schedule in ("cosine", "linear", "constant"):
        factors = [learning_rate_factor(step, steps, warmup, schedule) for step in range(steps)]
        assert all(0 < factor <= 1 for factor in factors)
        assert factors[:rising] == sorted(factors[:rising])
        assert factors[rising:] == sorted(factors[rising:], reverse=True)
        assert factors[rising:][:1] in ([1.0], [])
    assert learning_rate_factor(0, 4, 0, "cosine") == 1
    assert learning_rate_factor(2, 4, 0, "cosine") == pytest.approx(0.5)
    assert learning_rate_factor(3, 4, 0, "linear") == 0.25


def test_an_average_forgets_its_beginning_first() -> None:
    assert [average_decay(0.9, updates) for updates in (0, 8, 10**6)] == [0.1, 0.5, 0.9]


@given(alpha=st.floats(0.05, 4), epoch=st.integers(0, 5), count=st.integers(1, 40))
def test_blending_follows_from_seed_epoch_and_step(alpha: float, epoch: int, count: int) -> None:
    mixed = mixing(alpha, 3, epoch, 1, count)
    assert 0 <= mixed.share <= 1
    assert sorted(mixed.partners.tolist()) == list(range(count))
    again, other = mixing(alpha, 3, epoch, 1, count), mixing(alpha, 3, epoch, 2, count)
    assert (again.share, again.partners.tolist()) == (mixed.share, mixed.partners.tolist())
    assert other.share != mixed.share or mixed.share in (0, 1)
    assert mixing(0, 3, epoch, 1, count).share == 1


def test_labels_are_softened_and_blended() -> None:
    soft = soft_labels(np.array([1, 0]), 4, 0.2)
    np.testing.assert_allclose(soft, [[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(blended(soft, soft[::-1], 0.75)[0], [0.25, 0.65, 0.05, 0.05], rtol=1e-6)


def test_the_scale_of_the_loss_halves_at_an_overflow_and_doubles_after_a_while() -> None:
    scale = LossScale(factor=8.0, is_fixed=False).after(is_finite=False)
    assert scale.factor == 4.0
    for _ in range(PATIENCE):
        scale = scale.after(is_finite=True)
    assert (scale.factor, scale.good) == (8.0, 0)
    assert LossScale().after(is_finite=False) == LossScale()
    assert math.log2(scale.factor) == 3


def test_an_image_of_an_epoch_is_drawn_from_seed_epoch_and_image() -> None:
    plan = EpochPlan(options=augmentation_options(["flip", "crop", "rotate", "noise"]), seed=4)
    drawn = [plan.effects(epoch, image) for epoch in range(20) for image in range(20)]
    assert drawn == [plan.effects(epoch, image) for epoch in range(20) for image in range(20)]
    kinds = [[effect.kind for effect in effects] for effects in drawn]
    # Crops and rotations come first, and one of them at most.
    assert all(not {"crop", "rotate"} & set(names[1:]) for names in kinds)
    shares = {kind: sum(kind in names for names in kinds) / len(kinds) for kind in ("flip", "noise", "crop", "rotate")}
    assert shares == pytest.approx({"flip": 0.5, "noise": 0.5, "crop": 0.375, "rotate": 0.375}, abs=0.1)
    assert sum(not names for names in kinds) > 0


def test_crops_and_flips_are_those_of_the_views() -> None:
    square, wide, augmenter = gradient(64, 64), gradient(150, 100), Augmenter()
    crop = Effect("crop", {"side": 0.7, "across": 0.3, "down": 0.9})
    assert (cropped(wide, crop, 64) == augmenter.apply(crop, square, wide)).all()
    for ways in ({"horizontal": 1.0, "vertical": 0.0}, {"horizontal": 1.0, "vertical": 1.0}):
        flip = Effect("flip", ways)
        assert (flipped(square, flip) == augmenter.apply(flip, square, wide)).all()


def test_pictures_are_made_of_their_effects() -> None:
    plain, many = EpochPlan(), EpochPlan(options=augmentation_options(["flip", "crop", "expose"]))
    data = photo_bytes()
    assert (EpochMaker(plain, 64).of_file(data, "x", 0, 0) == prepare_image(data, "x", 64)).all()
    made = [EpochMaker(many, 64).of_file(png(gradient(90, 80)), "x", epoch, 0) for epoch in range(6)]
    assert all(each.shape == (64, 64, 3) for each in made)
    assert len({each.tobytes() for each in made}) > 3
