"""Verdicts on real sessions."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer.main

import mlsession as ml
from mlsession.cli.app import app
from mlsession.cli.options.training import TrainArguments
from mlsession.cli.printing.text import command_line
from mlsession.cli.running.train import _model
from mlsession.errors import UsageError
from mlsession.heads.chosen import CROSS_VALIDATION, Chosen
from mlsession.heads.comparison import Comparison, Rating
from mlsession.heads.options import LOGISTIC, PERCEPTRON, HeadOptions
from mlsession.heads.paired import PairedDifference
from mlsession.training.classifier import Classifier
from mlsession.training.findings.evidence import (
    _is_perceptron_no_better,
    conflicting_copies,
    different_pictures,
)
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.said import training_line
from tests.training.conftest import Start


def test_copies_of_test_photos_among_the_training_photos_are_found(
    start: Start, photos: Path, test_photos: Path, tmp_path: Path
) -> None:
    for photo in sorted((test_photos / "Kiwi").iterdir())[:4]:
        shutil.copy2(photo, photos / "Kiwi" / f"copy-of-{photo.name}")
    classifier = start(data=photos, testing=test_photos, parameters=ml.ModelParameters(validation=ml.Validation.none()))
    verdict = classifier.result().advice
    assert verdict.advice.rule == "leaked_images"
    assert verdict.evidence.startswith("4 of 18 test images are the same files as training images")
    assert verdict.advice.command == ("scan", str(photos), "--test", str(test_photos))


def test_the_same_verdict_everywhere(start: Start, tmp_path: Path, test_photos: Path) -> None:
    classifier = start(testing=test_photos).result()
    session = tmp_path / "session"
    with Classifier.restore_training_session(ml.SessionParameters(session)) as opened:
        summary = SessionSummary.of(opened)
        verdicts = [classifier.advice, ml.advise(session), ml.advise(opened), ml.Classifier.load(session).advice]
    assert summary.advice is not None
    assert [verdict.to_json() for verdict in verdicts] == [summary.advice.to_json()] * 4
    assert summary.to_json()["advice"] == summary.advice.to_json()
    classifier.write(tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match="nothing is known"):
        _ = ml.Classifier.load(tmp_path / "m.safetensors").advice
    start().result()  # Without a test set: evaluated anew.
    with pytest.raises(UsageError, match="trained on since"):
        _ = classifier.advice


def test_there_is_none_before_the_evaluation(train_photos: Path, tmp_path: Path) -> None:
    data, where = ml.DataSource.labeled_directories(train_photos), ml.SessionParameters(tmp_path / "session")
    with Classifier.make_training_session(data, None, where) as session:
        assert SessionSummary.of(session).to_json()["advice"] is None
        with pytest.raises(UsageError, match="not evaluated yet"):
            ml.advise(session)


def logistic(**options: object) -> ml.TransferLearning:
    return ml.TransferLearning(classifier=ml.LogisticRegressor(**options))  # type: ignore[arg-type]


def perceptron(**options: object) -> ml.TransferLearning:
    head: HeadOptions = ml.MultilayerPerceptron(**options)  # type: ignore[arg-type]
    return ml.TransferLearning(feature_extractor=ml.scene_print(1), classifier=head)


@pytest.mark.parametrize(
    "parameters",
    [
        ml.ModelParameters(),
        ml.ModelParameters(seed=3, validation=ml.Validation.split(0.2, 3), max_iterations=40, tune="off"),
        ml.ModelParameters(validation=ml.Validation.none(), augmentation=["flip", "flip-vertical", "crop"]),
        ml.ModelParameters(augmentation="auto"),
        ml.ModelParameters(augmentation=ml.AutomaticAugmentation(exclude=["flip-vertical", "noise"])),
        ml.ModelParameters(algorithm=perceptron(layer_sizes=(8, 4), class_weight="balanced"), on_bad_image="fail"),
        ml.ModelParameters(algorithm=logistic(class_weight={"Kiwi": 2.0, "Lemon": 0.5}), allow_truncated=True),
        ml.ModelParameters(precision="float32", backend="torch", tune="validation", groups=r"_([0-9])[^/]*$"),
        ml.ModelParameters(algorithm=ml.TransferLearning(classifier=ml.AutomaticClassifier(class_weight="balanced"))),
        ml.ModelParameters(algorithm=logistic(l2=0.1, tolerance=1e-6)),
        ml.ModelParameters(algorithm=perceptron(dropout=0.5, early_stopping=False, batch_size=16, learning_rate=1e-5)),
        ml.ModelParameters(
            algorithm=ml.TransferLearning(
                classifier=ml.AutomaticClassifier(
                    class_weight="balanced", perceptron=ml.MultilayerPerceptron(dropout=0.5)
                )
            )
        ),
    ],
)
def test_the_line_trains_the_same_again(parameters: ml.ModelParameters, train_photos: Path, tmp_path: Path) -> None:
    data, where = ml.DataSource.labeled_directories(train_photos), ml.SessionParameters(tmp_path / "session")
    with Classifier.make_training_session(data, parameters, where) as session:
        words = training_line(session, parameters).again({})
    assert words[:4] == ("train", str(train_photos), "--session", str(tmp_path / "session"))
    given = parsed(words)
    assert _model(given, {}).to_json() == parameters.to_json()
    assert (given.iterations or 25) == parameters.max_iterations


def parsed(words: tuple[str, ...]) -> TrainArguments:
    """Words as the command line takes them."""
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    with command.make_context("train", list(words[1:])) as context:
        return TrainArguments(**context.params)


def test_weights_of_odd_labels_are_said_one_by_one(train_photos: Path, tmp_path: Path) -> None:
    weights = {"a, b": 2.0, "it's=1": 3.0, "--x": 0.5}
    for label, name in zip(sorted(path.name for path in train_photos.iterdir()), weights, strict=True):
        shutil.copytree(train_photos / label, tmp_path / "photos" / name)
    data = ml.DataSource.labeled_directories(tmp_path / "photos")
    parameters = ml.ModelParameters(algorithm=logistic(class_weight=weights))
    with Classifier.make_training_session(data, parameters, ml.SessionParameters(tmp_path / "session")) as session:
        words = training_line(session, parameters).again({})
        unsaid = ml.ModelParameters(algorithm=logistic(class_weight={"a=1,b": 2.0}))
        assert training_line(session, unsaid).options is None
    assert words.count("--class-weight") == 3
    shown = command_line(words)
    assert "--class-weight 'a, b=2.0'" in shown
    assert _model(parsed(tuple(shlex.split(shown))), {}).to_json() == parameters.to_json()


@pytest.mark.parametrize(
    "parameters",
    [
        ml.ModelParameters(seed=3),
        ml.ModelParameters(augmentation=[ml.Crop(views=2)]),
        ml.ModelParameters(
            algorithm=ml.TransferLearning(
                classifier=ml.AutomaticClassifier(perceptron=ml.MultilayerPerceptron(layer_sizes=(9,)))
            )
        ),
    ],
)
def test_what_a_line_cannot_say_gives_none(parameters: ml.ModelParameters, train_photos: Path, tmp_path: Path) -> None:
    data, where = ml.DataSource.labeled_directories(train_photos), ml.SessionParameters(tmp_path / "session")
    with Classifier.make_training_session(data, parameters, where) as session:
        line = training_line(session, parameters)
    assert line.again({}) == ()
    assert line.about("review") == ("review", str(tmp_path / "session"))


@pytest.mark.parametrize("gained", [2, 20])
def test_whether_a_perceptron_was_tried_in_vain_is_known(gained: int) -> None:
    first, second = (Rating(kind=kind, accuracy=0.9, log_loss=0.3) for kind in (LOGISTIC, PERCEPTRON))
    paired = PairedDifference(judged=200, gained=gained, lost=2)
    chosen = Chosen(
        options=ml.LogisticRegressor(),
        kind=CROSS_VALIDATION,
        comparisons=(Comparison(first=first, second=second, difference=paired),),
    )
    assert _is_perceptron_no_better(chosen) == (gained == 2)
    assert not _is_perceptron_no_better(None)


def test_copies_under_different_labels_are_counted_by_picture() -> None:
    """0, 3 and 4 are one picture, twice of label 1; 1 and 5 are another of one label; 6 is an image to validate on."""
    labels = np.array([0, 1, 2, 1, 1, 1], dtype=np.int32)
    found = conflicting_copies(np.array([[3, 0], [4, 0], [5, 1], [6, 2]]), labels)
    assert found is not None
    assert (found.pictures, found.wrong.part, found.wrong.count) == (1, 1, 6)
    assert conflicting_copies(np.array([[5, 1], [6, 2]]), labels) is None
    assert conflicting_copies(np.zeros((0, 2), dtype=np.int64), labels) is None
    assert conflicting_copies(None, labels) is None


def test_pictures_of_a_class_are_counted_once() -> None:
    """0, 3 and 4 are one picture, of labels 0, 1 and 1; 1 and 5 are another, of label 1; 2 is alone."""
    labels = np.array([0, 1, 2, 1, 1, 1], dtype=np.int32)
    assert different_pictures(np.array([[3, 0], [4, 0], [5, 1], [6, 2]]), labels, 3) == (1, 2, 1)
    assert different_pictures(np.zeros((0, 2), dtype=np.int64), labels, 4) == (1, 4, 1, 0)
    assert different_pictures(None, labels, 3) is None


def test_a_class_of_copies_is_told_that_it_has_one_image(start: Start, photos: Path) -> None:
    for label in ("Kiwi", "Lemon"):
        first, *others = sorted((photos / label).iterdir())
        for photo in others:
            shutil.copy2(first, photo)
    verdict = start(data=photos, checkpoint_interval=1_000).result().advice
    found = next(advice for advice in (verdict.advice, *verdict.others) if advice.rule == "few_images")
    assert "different training images" in found.evidence
    assert "Kiwi 1" in found.evidence


def test_copies_under_different_labels_are_found(start: Start, photos: Path) -> None:
    for photo in sorted((photos / "Kiwi").iterdir())[:4]:
        shutil.copy2(photo, photos / "Lemon" / f"copy-of-{photo.name}")
    verdict = start(data=photos, checkpoint_interval=1_000).result().advice
    found = next(advice for advice in (verdict.advice, *verdict.others) if advice.rule == "conflicting_copies")
    assert found.evidence.startswith("4 pictures are among the training images under more than one label")
    assert "7.3 % (4 of 55) have a wrong one at least" in found.evidence
