"""Groups in a session: they are not divided, are fixed for its life, and are known from the store alone."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters, InvalidParameter, UnusableData
from mlsession.events import FindingMade, PhaseStarted
from mlsession.heads.perceptron.stopping import fitted_rows, held_out_rows
from mlsession.heads.selecting.folded import PickedRows
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import Folding
from mlsession.phases.train import TableRows
from mlsession.randomness import keyed_generator

from .conftest import UNTUNED, Start
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


def test_an_image_that_it_misses_later_can_be_seen_to(start: Start, photos: Path) -> None:
    first = start(data=photos, parameters=GROUPED).result()
    added = photos / "Kiwi" / "new.jpg"
    added.write_bytes(min((photos / "Kiwi").iterdir()).read_bytes())
    update = partial(start, data=photos, parameters=GROUPED, on_modified_data="update")
    with pytest.raises(InvalidParameter, match=r"does not match 'Kiwi/new.jpg'.* rename or remove .*'ignore'.* new se"):
        update().result()
    # Each of these cures works.
    ignored = start(data=photos, parameters=GROUPED, on_modified_data="ignore").result()
    assert ignored.model_digest == first.model_digest
    added.rename(added.with_name("new_000.jpg"))
    renamed = update().result()
    assert sum(len(renamed.results(part)) for part in ("training", "validation")) == 52


def undivided(job: ml.Job[ml.Classifier]) -> list[FindingMade]:
    return [event for event in job.events() if isinstance(event, FindingMade) and event.kind == "undivided_groups"]


def test_groups_that_let_nothing_be_held_out_are_told_and_change_nothing(start: Start, tmp_path: Path) -> None:
    whole = replace(GROUPED, groups="^(Banana|Kiwi|Lemon)/")
    job = start(parameters=whole)
    classifier = job.result()
    assert not classifier.validation_metrics.is_valid
    (told,) = undivided(job)
    assert told.severity == "warning"
    assert "nothing is held out to validate on: groups are not divided" in told.sentence
    assert "Validation.data" in told.cure
    plain = start(session=tmp_path / "plain", parameters=replace(UNTUNED, validation=ml.Validation.none())).result()
    assert classifier.model_digest == plain.model_digest
    for parameters in (GROUPED, replace(whole, validation=ml.Validation.none())):
        quiet = start(session=tmp_path / f"quiet-{parameters.groups == TENS}", parameters=parameters)
        quiet.result()
        assert undivided(quiet) == []


def test_fine_tuning_that_groups_leave_without_validation_ends_before_a_head_is_trained(
    start: Start, tmp_path: Path
) -> None:
    tuned = replace(GROUPED, groups="^(Banana|Kiwi|Lemon)/", algorithm=ml.FineTune(epochs=1), accelerator="cpu")
    for _ in range(2):
        job = start(parameters=tuned)
        with pytest.raises(UnusableData, match=r"validation: .* groups are not divided .*Validation\.data"):
            job.result()
        assert {event.phase for event in job.events() if isinstance(event, PhaseStarted)} == {"extracting"}


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


def test_early_stopping_knows_of_large_groups_in_a_fit_and_in_the_choice_of_its_kind() -> None:
    images = 360
    everything = np.ones(images, dtype=np.bool_)
    table = FeatureTable(
        features=np.eye(images, 4, dtype=np.float16),
        labels=np.arange(images, dtype=np.int64) % 2,
        image=np.arange(images),
        digests=keyed_generator(0, "contents").integers(0, 256, (images, 32), dtype=np.uint8),
        original=everything,
        training=everything,
        validation=~everything,
        groups=np.arange(images, dtype=np.int64) // 60,
    )
    folding = Folding(classes=("a", "b"), tune="cross-validation", seed=0)
    folds = folding.of_images(table)
    assert folds is not None
    assert len(held_out_rows(TableRows(table), 0)) == 60
    assert len(held_out_rows(PickedRows.fitted(folding.rows(table, folds), 0), 0)) == 60
