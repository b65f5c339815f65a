"""Options: their counts, their checks, one order, and back from JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsession as ml
from mlsession.augment.options import (
    NAMES,
    AugmentationOption,
    augmentation_options,
    option_from_json,
    option_named,
)
from mlsession.errors import InvalidParameter
from mlsession.session.log.canonical import canonical_json, parse_json

ALL = (ml.Blur(), ml.Crop(), ml.Expose(), ml.Flip(), ml.Noise(), ml.Rotate())


def test_views_are_those_of_create_ml_but_for_the_flip() -> None:
    assert {option.kind: option.views for option in ALL} == {
        "blur": 4,
        "crop": 4,
        "expose": 4,
        "flip": 1,
        "noise": 4,
        "rotate": 4,
    }
    assert ml.Flip(vertical=True).views == 3
    assert ml.Flip(horizontal=False, vertical=True).views == 1


def test_names_stand_for_options() -> None:
    assert set(augmentation_options(NAMES[:3])) == {ml.Blur(), ml.Crop(), ml.Expose()}
    assert option_named("flip") == ml.Flip(horizontal=True, vertical=False)
    assert augmentation_options({"flip", "flip-vertical"}) == (ml.Flip(horizontal=True, vertical=True),)
    assert augmentation_options({"flip-vertical"}) == (ml.Flip(horizontal=False, vertical=True),)


@given(st.permutations([*ALL, "rotate", "blur", ml.Flip()]))
def test_one_order_whatever_the_given_one(given_options: list[AugmentationOption | str]) -> None:
    assert augmentation_options(given_options) == ALL
    assert augmentation_options(augmentation_options(given_options)) == ALL


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"spin"}, "must be one of blur, crop"),
        ("flip", 'as {"flip"}'),
        ([3], "must hold names"),
        ([ml.Rotate(), ml.Rotate(degrees=(-5, 5))], "given twice"),
    ],
)
def test_what_is_no_augmentation_is_refused(wrong: object, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        augmentation_options(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        (ml.Rotate, {"degrees": (20, -20)}, "rotate.degrees"),
        (ml.Rotate, {"degrees": 20}, "rotate.degrees"),
        (ml.Rotate, {"degrees": [-20, 20]}, "rotate.degrees"),
        (ml.Rotate, {"degrees": (-200, 20)}, "rotate.degrees"),
        (ml.Rotate, {"views": 0}, "rotate.views"),
        (ml.Rotate, {"views": 17}, "rotate.views"),
        (ml.Noise, {"views": True}, "noise.views"),
        (ml.Noise, {"deviation": (0, 10)}, "noise.deviation"),
        (ml.Blur, {"radius": (float("nan"), 0.01)}, "blur.radius"),
        (ml.Crop, {"side": (0.5, 1.1)}, "crop.side"),
        (ml.Expose, {"stops": (-1, float("inf"))}, "expose.stops"),
        (ml.Flip, {"horizontal": False}, "flip"),
        (ml.Flip, {"vertical": 1}, "flip.vertical"),
    ],
)
def test_wrong_values_are_named(kind: type, values: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        kind(**values)
    assert caught.value.parameter == named


@pytest.mark.parametrize("option", [*ALL, ml.Flip(vertical=True), ml.Rotate(degrees=(-30, 5), views=2)])
def test_options_come_back_from_json(option: AugmentationOption) -> None:
    stored = parse_json(canonical_json(option.to_json()), "options")
    assert isinstance(stored, dict)
    assert option_from_json(stored) == option


@pytest.mark.parametrize(
    "stored", [{}, {"kind": "spin"}, {"kind": ["blur"]}, {"kind": "flip", "diagonal": True}, {"kind": "blur", "x": 1}]
)
def test_options_of_other_versions_are_refused(stored: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter, match="another version"):
        option_from_json(stored)  # type: ignore[arg-type]


def test_parameters_hold_options_in_one_order_and_store_them_only_if_there_are_any() -> None:
    named = ml.ModelParameters(augmentation={"rotate", "flip"})
    assert named == ml.ModelParameters(augmentation=[ml.Flip(), ml.Rotate()])
    assert named.augmentation == (ml.Flip(), ml.Rotate())
    assert ml.ModelParameters.from_json(named.to_json(), {}) == named
    assert "augmentation" not in ml.ModelParameters().to_json()
    assert ml.ModelParameters.from_json(ml.ModelParameters().to_json(), {}).augmentation == ()
