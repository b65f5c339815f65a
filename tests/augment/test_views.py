"""The plan of views: how many, what is drawn, and that nothing but (seed, content, option, place) decides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsession as ml
from mlsession.augment.options import AugmentationOption, Blur, Crop, Expose, Noise, Rotate, augmentation_options
from mlsession.augment.views import Effect, ViewPlan, describe
from mlsession.phases.cache import view_key

from .pictures import digest_of

ALL = augmentation_options({"blur", "crop", "expose", "flip", "flip-vertical", "noise", "rotate"})
CONTENT = digest_of(b"content")


def effects(*options: AugmentationOption, seed: int = 0, digest: bytes = CONTENT) -> list[Effect]:
    plan = ViewPlan(options=augmentation_options(options), seed=seed)
    return [plan.effect(digest, view) for view in range(1, len(plan))]


def test_views_add_up_and_do_not_multiply() -> None:
    assert len(ViewPlan()) == 1
    assert len(ViewPlan(options=ALL)) == 1 + 5 * 4 + 3
    assert [effect.kind for effect in effects(*ALL)] == sum(
        ([option.kind] * option.views for option in ALL), start=list[str]()
    )


def test_flips_are_left_right_then_upside_down_then_both() -> None:
    ways = [(effect.values["horizontal"], effect.values["vertical"]) for effect in effects(ml.Flip(vertical=True))]
    assert ways == [(1, 0), (0, 1), (1, 1)]
    assert [describe(effect) for effect in effects(ml.Flip(horizontal=False, vertical=True))] == ["flip upside down"]


RANGES: Mapping[str, tuple[Callable[..., AugmentationOption], str]] = {
    "blur": (Blur, "radius"),
    "crop": (Crop, "side"),
    "expose": (Expose, "stops"),
    "noise": (Noise, "deviation"),
    "rotate": (Rotate, "degrees"),
}


@given(kind=st.sampled_from(sorted(RANGES)), views=st.integers(1, 16), seed=st.integers(0, 2**40))
def test_each_view_draws_from_its_own_slice_of_the_range(kind: str, views: int, seed: int) -> None:
    build, name = RANGES[kind]
    low, high = getattr(build(), name)
    for place, effect in enumerate(effects(build(views=views), seed=seed)):
        share = (effect.values[name] - low) / (high - low)
        assert place / views - 1e-9 <= share <= (place + 1) / views + 1e-9


def test_other_options_change_nothing_about_a_view() -> None:
    alone, among = effects(Rotate()), effects(*ALL)
    assert among[-4:] == alone


def test_seed_and_content_decide() -> None:
    assert effects(*ALL) == effects(*ALL)
    for other in (effects(*ALL, seed=1), effects(*ALL, digest=digest_of(b"other"))):
        same = [a.kind for a, b in zip(effects(*ALL), other, strict=True) if a == b]
        assert same == ["flip"] * 3


def test_keys_name_what_is_done_to_which_content() -> None:
    plan, augmenter = ViewPlan(options=ALL), "effects/1"
    keys = [view_key(plan, augmenter, CONTENT, view) for view in range(len(plan))]
    assert keys[0] == CONTENT
    assert len(set(keys)) == len(plan)
    assert {len(key) for key in keys} == {32}
    # The same view of a plan with fewer options has another number, and the same key.
    assert view_key(ViewPlan(options=(Rotate(),)), augmenter, CONTENT, 1) == keys[-4]
    # A flip is the same for every seed; a rotation is not.
    other = ViewPlan(options=ALL, seed=1)
    changed = [view for view in range(len(plan)) if view_key(other, augmenter, CONTENT, view) != keys[view]]
    assert changed == [view for view in range(1, len(plan)) if plan.effect(CONTENT, view).kind != "flip"]
    assert view_key(plan, "effects/2", CONTENT, 1) != keys[1]
    assert view_key(plan, augmenter, digest_of(b"other"), 1) != keys[1]


def test_only_cuts_need_more_than_the_square() -> None:
    plan = ViewPlan(options=ALL)
    assert {plan.effect(CONTENT, view).kind for view in plan.needs_wide} == {"crop", "rotate"}
    assert len(plan.needs_wide) == 8


@pytest.mark.parametrize("effect", effects(*ALL))
def test_every_effect_has_words(effect: Effect) -> None:
    assert describe(effect).startswith(effect.kind)
