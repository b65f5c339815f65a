"""Groups in a session: they are not divided, are fixed for its life, and are known from the store alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.heads.perceptron.stopping import fitted_rows, held_out_rows
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import Folding
from mlsession.phases.train import TableRows
from mlsession.randomness import keyed_generator

from .conftest import Start
from .test_sessions import cancel_at

TENS = r"_([0-9]+)[0-9]\.jpg$"
"""Photos whose numbers agree but for the last figure, whatever their labels."""
GROUPED = ml.ModelParameters(groups=TENS, tune="off", validation=ml.Validation.split(0.3))


def groups_of(classifier: ml.Classifier, part: Literal["training", "validation"]) -> set[str]:
    return {re.findall(TENS, image.path)[0] for image in classifier.results(part)}


def test_no_group_is_trained_on_and_validated_on(start: Start, tmp_path: Path) -> None:
    grouped = start(parameters=GROUPED).result()
    held_out = groups_of(grouped, "validation")
    assert held_out
    assert not held_out & groups_of(grouped, "training")
    plain = start(session=tmp_path / "plain", parameters=ml.ModelParameters(validation=GROUPED.validation)).result()
    assert groups_of(plain, "validation") & groups_of(plain, "training"), "else the test above shows nothing"


def test_cancelled_it_goes_on_from_the_store_alone_to_the_same_model(start: Start, tmp_path: Path) -> None:
    tuned = ml.ModelParameters(groups=TENS, validation=GROUPED.validation)
    whole = start(session=tmp_path / "whole", parameters=tuned).result()
    cancel_at(start(parameters=tuned, cache=None, report_interval=1), "extracting", 2)
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        assert session.identity.parameters["groups"] == TENS
        assert ml.Classifier.resume(session).result().model_digest == whole.model_digest


def test_added_images_go_to_the_side_of_their_group(start: Start, photos: Path) -> None:
    moved = sorted((photos / "Kiwi").iterdir())[::3]
    contents = [photo.read_bytes() for photo in moved]
    for photo in moved:
        photo.unlink()
    first = start(data=photos, parameters=GROUPED).result()
    for photo, data in zip(moved, contents, strict=True):
        photo.write_bytes(data)
    updated = start(data=photos, parameters=GROUPED, on_modified_data="update").result()
    assert groups_of(first, "validation") == groups_of(updated, "validation")
    assert len(updated.results("training")) + len(updated.results("validation")) == 51
    assert not groups_of(updated, "validation") & groups_of(updated, "training")


def test_groups_are_fixed_for_a_sessions_life(start: Start) -> None:
    start(parameters=GROUPED).result()
    with pytest.raises(IncompatibleParameters, match=r"groups was .* when this session was made and is None now"):
        start(parameters=ml.ModelParameters(tune="off", validation=GROUPED.validation)).result()


def test_an_expression_that_misses_an_image_is_refused_before_anything_is_made(start: Start, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"does not match 'Kiwi/.*'; write one that matches every image"):
        start(parameters=ml.ModelParameters(groups="(Banana|Lemon)")).result()
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ("patient", "must have one group in parentheses"),
        ("(p", "is no regular expression"),
        (lambda key: key, "must be a regular expression .* which a session can remember; for a function"),
        ({"a": "b"}, "divide the data with stratified_split"),
    ],
)
def test_what_a_session_cannot_remember_is_refused(groups: object, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason) as caught:
        ml.ModelParameters(groups=groups)  # type: ignore[arg-type]
    assert caught.value.parameter == "groups"


def test_an_extractor_is_not_chosen_with_groups() -> None:
    with pytest.raises(InvalidParameter, match="name an extractor"):
        ml.ModelParameters(groups=TENS, algorithm=ml.TransferLearning(feature_extractor="auto"))


def test_a_group_lies_in_one_fold_and_on_one_side_of_early_stopping() -> None:
    images = 240
    generator, everything = keyed_generator(0, "contents"), np.ones(images, dtype=np.bool_)
    digests = generator.integers(0, 256, (images, 32), dtype=np.uint8)
    digests[5] = digests[100]
    table = FeatureTable(
        features=np.zeros((images, 4), dtype=np.float16),
        labels=np.arange(images, dtype=np.int64) % 2,
        image=np.arange(images),
        digests=digests,
        original=everything,
        training=everything,
        validation=~everything,
    )
    groups = np.arange(images, dtype=np.int64) // 4
    grouped, folding = replace(table, groups=groups), Folding(classes=("a", "b"), tune="cross-validation", seed=0)
    folds, plain = folding.of_images(grouped), folding.of_images(table)
    assert folds is not None
    assert plain is not None
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in range(60))
    assert folds[5] == folds[100], "copies tie their groups together"
    assert not all(len(set(plain[groups == group].tolist())) == 1 for group in range(60))
    assert (np.bincount(folds) >= 16).all()
    held_out = held_out_rows(TableRows(grouped), 0)
    assert 0 < len(held_out) < images
    assert not set(groups[held_out]) & set(groups[fitted_rows(TableRows(grouped), held_out)])
