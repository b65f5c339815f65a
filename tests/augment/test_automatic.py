"""A choice of views, however it is given: which candidates it has, and how it is stored."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

import mlsession as ml
from mlsession.augment.automatic import (
    Augmentation,
    augmentation_from_json,
    augmentation_named,
    augmentation_of,
    augmentation_to_json,
)
from mlsession.augment.options import NAMES, AugmentationOption, name_of
from mlsession.augment.views import ViewPlan
from mlsession.errors import InvalidParameter
from mlsession.training.parameters import recorded_views

UPSIDE_DOWN = ml.Flip(horizontal=False, vertical=True)


def test_all_options_are_candidates_with_one_view_each() -> None:
    candidates = ml.AutomaticAugmentation().candidates
    assert [name_of(option) for option in candidates] == list(NAMES)
    assert [option.views for option in candidates] == [1] * 7
    assert len(ml.ModelParameters(augmentation="auto").views) == 8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ml.AutomaticAugmentation(exclude={"flip-vertical", "noise"}), ["blur", "crop", "expose", "flip", "rotate"]),
        (ml.AutomaticAugmentation(options=["rotate", "crop"]), ["crop", "rotate"]),
        (ml.AutomaticAugmentation(options={ml.Flip(vertical=True)}), ["flip", "flip-vertical"]),
        (ml.AutomaticAugmentation(options={ml.Flip(vertical=True)}, exclude=["flip"]), ["flip-vertical"]),
        (ml.AutomaticAugmentation(options=[ml.Rotate(views=3), "flip"]), ["flip", "rotate"]),
    ],
)
def test_candidates_can_be_named_and_excluded(given: ml.AutomaticAugmentation, expected: list[str]) -> None:
    assert [name_of(option) for option in given.candidates] == expected


def test_an_option_keeps_its_views_and_its_range() -> None:
    wide = ml.Rotate(views=3, degrees=(-90.0, 90.0))
    assert ml.AutomaticAugmentation(options=[wide]).candidates == (wide,)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["auto"], ml.AutomaticAugmentation()),
        (["auto", "-flip-vertical"], ml.AutomaticAugmentation(exclude=["flip-vertical"])),
        (["auto", "crop", "flip"], ml.AutomaticAugmentation(options=["flip", "crop"])),
        (["crop", "flip"], (ml.Crop(), ml.Flip())),
    ],
)
def test_names_as_they_are_typed(names: Collection[str], expected: object) -> None:
    assert augmentation_named(names) == expected


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["auto", "crop", "-flip"], "either names"),
        (["auto", "-spin"], "must be one of blur"),
        (["auto", "spin"], "must be one of blur"),
        (["crop", "-flip"], "must be one of blur"),
        (["auto", *(f"-{name}" for name in NAMES)], "no option to try"),
    ],
)
def test_names_that_are_none_are_refused(names: Collection[str], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        augmentation_named(names)


def test_wrong_choices_are_refused() -> None:
    wrong: list[dict[str, Any]] = [{"options": "flip"}, {"exclude": "flip"}, {"options": []}]
    for each in [*wrong, {"options": ["crop", ml.Crop(views=2)]}]:
        with pytest.raises(InvalidParameter):
            ml.AutomaticAugmentation(**each)
    with pytest.raises(InvalidParameter, match="views are chosen by"):
        ml.ModelParameters(augmentation="auto", tune="off")


@pytest.mark.parametrize(
    "given", ["auto", ml.AutomaticAugmentation(exclude=["noise"]), (), {"flip", "flip-vertical", "crop"}]
)
def test_what_is_stored_is_read_back(given: Augmentation) -> None:
    choice = augmentation_of(given)
    stored = json.loads(json.dumps(augmentation_to_json(choice)))
    assert augmentation_from_json(stored) == choice
    parameters = ml.ModelParameters(augmentation=given)
    read = ml.ModelParameters.from_json(json.loads(json.dumps(parameters.to_json())), {})
    assert read.augmentation == choice
    assert read.views == recorded_views(parameters.to_json()) == parameters.views


@pytest.mark.parametrize(
    "stored", [{"kind": "best"}, {"kind": "automatic"}, {"kind": "automatic", "options": ["flip"]}, "auto", [1]]
)
def test_what_was_never_stored_is_refused(stored: object) -> None:
    with pytest.raises(InvalidParameter):
        augmentation_from_json(stored)  # type: ignore[arg-type]


def test_two_ways_to_say_the_same_are_the_same_parameters() -> None:
    one = ml.ModelParameters(augmentation=ml.AutomaticAugmentation(exclude=["flip-vertical"]))
    other = ml.ModelParameters(augmentation=ml.AutomaticAugmentation(options=set(NAMES) - {"flip-vertical"}))
    assert one == other
    assert one.to_json() == other.to_json()
    assert one.selects


def test_a_head_that_leaves_nothing_else_to_choose_fixes_what_views_are_chosen_on() -> None:
    algorithm = ml.TransferLearning(classifier=ml.MultilayerPerceptron())
    chosen = ml.ModelParameters(augmentation="auto", algorithm=algorithm)
    assert chosen.selects
    assert chosen.to_json()["tune"] == "cross-validation"


@pytest.mark.parametrize("kept", [("flip", "rotate"), ("flip-vertical",), (), tuple(NAMES)])
def test_kept_views_are_made_as_among_all(kept: Collection[str]) -> None:
    """A plan of what is kept alone makes the same views: so predictions can be averaged over them."""
    plan, digest = ViewPlan(options=ml.AutomaticAugmentation().candidates, seed=3), bytes(32)
    alone = plan.only(kept)
    assert len(plan.views_of(kept)) == len(alone) == 1 + len(kept)
    for place, view in enumerate(plan.views_of(kept)[1:], start=1):
        assert alone.effect(digest, place) == plan.effect(digest, view)


@pytest.mark.parametrize("option", [ml.Flip(), UPSIDE_DOWN, ml.Rotate(views=1)])
def test_a_view_is_that_of_the_option_given_alone(option: AugmentationOption) -> None:
    """So `--augment flip` later takes from the cache what was made to choose from."""
    plan, digest = ViewPlan(options=ml.AutomaticAugmentation().candidates), bytes(32)
    (view,) = plan.views_of({name_of(option)})[1:]
    assert plan.effect(digest, view) == ViewPlan(options=(option,)).effect(digest, 1)
