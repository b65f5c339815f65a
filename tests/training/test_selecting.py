"""The choice of a penalty in a session: made once, resumed exactly, made again of other images, and told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cli.printing.chosen import chosen_words
from mlsession.errors import InvalidParameter, NoUsableCheckpoint
from mlsession.events import PhaseStarted
from mlsession.training.findings.summary import SessionSummary

from .conftest import Start
from .test_sessions import cancel_at, started

TUNED = ml.ModelParameters(validation=ml.Validation.none())
AUTOMATIC = ml.ModelParameters(
    validation=ml.Validation.none(),
    algorithm=ml.TransferLearning(
        classifier=ml.AutomaticClassifier(perceptron=ml.MultilayerPerceptron(layer_sizes=(8,)))
    ),
)


def summary_of(folder: Path) -> SessionSummary:
    with ml.Classifier.restore_training_session(ml.SessionParameters(folder)) as session:
        return SessionSummary.of(session)


def phases(job: ml.Job[ml.Classifier]) -> list[str]:
    job.exception()
    return [event.phase for event in job.events() if isinstance(event, PhaseStarted)]


def test_a_choice_is_made_once_and_told(start: Start, tmp_path: Path) -> None:
    first = start(parameters=TUNED, iterations=1, checkpoint_interval=100)
    assert phases(first) == ["extracting", "selecting", "training", "evaluating"]
    longer = start(parameters=TUNED, iterations=2)
    assert "selecting" not in phases(longer)
    told = summary_of(tmp_path / "session")
    assert told.selection is not None
    assert (told.selection.kind, told.selection.folds, told.selection.judged) == ("cross-validation", 5, 51)
    assert told.to_json()["selection"] == told.selection.to_json()
    assert told.selection.strength in [score.strength for score in told.selection.scores]
    whole = start(session=tmp_path / "whole", parameters=TUNED, iterations=2, checkpoint_interval=100).result()
    assert longer.result().model_digest == whole.model_digest


def test_cancelled_while_choosing_it_goes_on_as_if_never_cancelled(start: Start, tmp_path: Path) -> None:
    whole = start(session=tmp_path / "whole", parameters=TUNED, iterations=3, checkpoint_interval=100).result()
    cancel_at(start(parameters=TUNED, iterations=3, report_interval=1), "selecting", 2)
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        assert session.phase == ml.Phase.SELECTING
        with pytest.raises(NoUsableCheckpoint, match="a penalty chosen"):
            ml.Classifier.from_checkpoint(session.checkpoints[-1])
        iteration = session.iteration
    resumed = start(parameters=TUNED, iterations=3, checkpoint_interval=100)
    assert resumed.result().model_digest == whole.model_digest
    assert started(resumed)[0] == ("selecting", iteration)
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        assert session.verify().is_whole


def test_of_other_images_it_is_chosen_again(start: Start, photos: Path, tmp_path: Path) -> None:
    start(data=photos, parameters=TUNED, iterations=1, checkpoint_interval=100).result()
    before = summary_of(tmp_path / "session").selection
    shutil.rmtree(photos / "Kiwi")
    shutil.copytree(photos / "Lemon", photos / "Kiwi")
    for photo in sorted((photos / "Kiwi").iterdir())[2:]:
        photo.unlink()
    changed = start(data=photos, parameters=TUNED, iterations=1, checkpoint_interval=100, on_modified_data="update")
    assert phases(changed) == ["extracting", "selecting", "training", "evaluating"]
    after = summary_of(tmp_path / "session").selection
    assert before is not None
    assert after is not None
    assert after.judged < before.judged


def test_the_kind_is_chosen_once_and_told(start: Start, tmp_path: Path) -> None:
    classifier = start(parameters=AUTOMATIC, iterations=1, checkpoint_interval=100).result()
    told = summary_of(tmp_path / "session").selection
    assert told is not None
    (comparison,) = told.comparisons
    assert comparison.difference.judged == told.judged == 51
    assert classifier.model_parameters == AUTOMATIC
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        assert session.past.state("training").data["head"] == comparison.kept.kind
    words = chosen_words(told)
    assert f"of 51 images right, apart by {100 * comparison.difference.difference:+.2f} points" in words
    assert "\n" not in words
    assert "selecting" not in phases(start(parameters=AUTOMATIC, iterations=2))


def test_a_kind_is_not_chosen_by_nothing() -> None:
    with pytest.raises(InvalidParameter, match="tune='off'"):
        ml.ModelParameters(tune="off", algorithm=ml.TransferLearning(classifier="auto"))
    with pytest.raises(InvalidParameter, match="classifier"):
        ml.TransferLearning(classifier="best")  # type: ignore[arg-type]
    by_name = ml.ModelParameters(algorithm=ml.TransferLearning(classifier="auto"))
    assert by_name == ml.ModelParameters(algorithm=ml.TransferLearning(classifier=ml.AutomaticClassifier()))
    assert ml.ModelParameters.from_json(by_name.to_json(), {}) == by_name


@pytest.mark.parametrize("head", [ml.MultilayerPerceptron(), ml.LogisticRegressor(l2=0.1)])
def test_tune_does_not_bind_a_session_without_a_choice(head: ml.MultilayerPerceptron | ml.LogisticRegressor) -> None:
    algorithm = ml.TransferLearning(classifier=head)
    stored = ml.ModelParameters(algorithm=algorithm, tune="off").to_json()
    assert stored == ml.ModelParameters(algorithm=algorithm).to_json()
    read = ml.ModelParameters.from_json(stored, {})
    assert (read.to_json(), read.selects) == (stored, False)
    assert ml.ModelParameters().to_json() != ml.ModelParameters(tune="off").to_json()


def test_a_weight_of_a_label_that_no_class_has_makes_no_session(start: Start, tmp_path: Path) -> None:
    head = ml.LogisticRegressor(class_weight={"Kiwi": 2.0, "Kiwis": 2.0})
    parameters = ml.ModelParameters(algorithm=ml.TransferLearning(classifier=head))
    with pytest.raises(InvalidParameter, match="'Kiwis': no class has this label; the classes are 'Banana', 'Kiwi'"):
        start(parameters=parameters).result()
    assert not (tmp_path / "session" / "log").exists()
