"""An extractor that is chosen, in sessions on real photos: all that follows works as if it had been named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.cli.printing.chosen import extractor_words
from mlsession.cli.printing.report import status_lines
from mlsession.data.split import split_rows
from mlsession.errors import IncompatibleParameters, InvalidParameter, NoUsableCheckpoint
from mlsession.events import DonorFailed, PhaseFinished, PhaseStarted
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.embedded.extractor import Lite1
from mlsession.phases.corpus import Corpus, Part
from mlsession.randomness import keyed_generator
from mlsession.training.choosing import sample_of
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.images.inputs import no_sides
from tests.photos import copy_photos

from .test_sessions import cancel_at

LABELS = ("Lemon", "Satsumas")
OF_TWO = AutomaticExtractor(candidates=[Lite1(), ml.scene_print()])


def parameters(extractor: object) -> ml.ModelParameters:
    """Nothing but the extractor is chosen."""
    head = ml.LogisticRegressor(l2=1.0)
    algorithm = ml.TransferLearning(feature_extractor=extractor, classifier=head)  # type: ignore[arg-type]
    return ml.ModelParameters(validation=ml.Validation.none(), algorithm=algorithm)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 photos of each of two fruits that are easy to mix up, for one of two extractors."""
    return copy_photos(tmp_path_factory.mktemp("choosing") / "photos", "train", 20, LABELS)


def begin(photos: Path, name: str, extractor: object, **options: object) -> ml.Job[ml.Classifier]:
    """Without a feature cache: nothing that is not made twice can come from there."""
    given: dict[str, object] = {"iterations": 2, "cache": None, "checkpoint_interval": 100, **options}
    where = ml.SessionParameters(photos.parent / name, **given)  # type: ignore[arg-type]
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), parameters(extractor), where)


@pytest.fixture(scope="module")
def whole(photos: Path) -> ml.Job[ml.Classifier]:
    job = begin(photos, "whole", OF_TWO)
    job.result()
    return job


def opened(photos: Path, name: str = "whole") -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(ml.SessionParameters(photos.parent / name))


def test_the_better_one_is_chosen_and_all_that_follows_uses_it(photos: Path, whole: ml.Job[ml.Classifier]) -> None:
    classifier = whole.result()
    choice = classifier.extractor_choice
    assert choice is not None
    assert (choice.kept, choice.judged, choice.names) == ("scene_print:2", 40, ("lite1", "scene_print:2"))
    assert choice.comparisons[0].difference.is_better
    named = begin(photos, "named", ml.scene_print()).result()
    assert classifier.model_digest == named.model_digest
    assert named.extractor_choice is None
    photo = next((photos / "Lemon").iterdir())
    assert classifier.predict(photo) == named.predict(photo)
    assert classifier.model_parameters == parameters(OF_TWO)
    started = [event.phase for event in whole.events() if isinstance(event, PhaseStarted)]
    assert started == ["choosing", "extracting", "training", "evaluating"]
    extracted = next(e for e in whole.events() if isinstance(e, PhaseFinished) and e.phase == "extracting")
    assert extracted.metrics["reused"] == 40


def test_it_is_told_wherever_a_session_is(photos: Path, whole: ml.Job[ml.Classifier]) -> None:
    choice = whole.result().extractor_choice
    assert choice is not None
    with opened(photos) as session:
        told = SessionSummary.of(session)
        assert ml.Classifier.from_checkpoint(session.checkpoints[-1]).extractor_choice == choice
        assert session.verify().is_whole
    assert told.extractor_choice == choice
    stored = json.loads(json.dumps(told.to_json()))["extractor_choice"]
    assert (stored["kept"], [each["extractor"] for each in stored["ratings"]]) == (choice.kept, list(choice.names))
    assert extractor_words(choice).startswith("scene_print:2 chosen by 5-fold cross-validation: lite1 ")
    assert any(line.startswith("extractor") and choice.kept in line for line in status_lines(told, told.date))


def test_cancelled_while_choosing_it_goes_on_as_if_never_cancelled(photos: Path, whole: ml.Job[ml.Classifier]) -> None:
    cancel_at(begin(photos, "again", OF_TWO, report_interval=1), "choosing", 4)
    with opened(photos, "again") as session:
        assert session.phase == ml.Phase.CHOOSING
        with pytest.raises(NoUsableCheckpoint, match="an extractor or a penalty"):
            ml.Classifier.from_checkpoint(session.checkpoints[-1])
        resumed = ml.Classifier.resume(session).result()
    assert resumed.model_digest == whole.result().model_digest
    assert resumed.extractor_choice == whole.result().extractor_choice


def test_features_are_taken_over_from_and_by_a_session_that_chose(
    photos: Path, whole: ml.Job[ml.Classifier], tmp_path: Path
) -> None:
    data = ml.DataSource.labeled_directories(photos)

    def made(name: str, extractor: object) -> ml.TrainingSession:
        where = ml.SessionParameters(tmp_path / name, iterations=1, cache=None)
        return ml.Classifier.make_training_session(data, parameters(extractor), where)

    with opened(photos) as donor:
        with made("other", Lite1()) as other, pytest.raises(IncompatibleParameters, match="lite1"):
            other.reuse_extracted_features(donor)
        with made("same", ml.scene_print()) as same:
            same.reuse_extracted_features(donor)
            job = ml.Classifier.resume(same)
            job.result()
    extracted = next(e for e in job.events() if isinstance(e, PhaseFinished) and e.phase == "extracting")
    assert extracted.metrics["reused"] == 40
    assert not [event for event in job.events() if isinstance(event, DonorFailed)]


def test_the_choice_stays_when_images_come(photos: Path, whole: ml.Job[ml.Classifier]) -> None:
    whole.result()
    more = copy_photos(photos.parent / "more", "test", 1, LABELS)
    for label in LABELS:
        for photo in (more / label).iterdir():
            photo.rename(photos / label / f"new-{photo.name}")
    job = begin(photos, "whole", OF_TWO, on_modified_data="update")
    assert job.result().extractor_choice == whole.result().extractor_choice
    started = [event.phase for event in job.events() if isinstance(event, PhaseStarted)]
    assert started[0] == "extracting"
    extracted = next(e for e in job.events() if isinstance(e, PhaseFinished) and e.phase == "extracting")
    assert extracted.metrics["reused"] == 40


def corpus_of(images: int) -> Corpus:
    keys = [f"{'ab'[row % 2]}/{row}.jpg" for row in range(images)]
    labels = np.arange(images, dtype=np.int64) % 2
    return Corpus(classes=("a", "b"), training=Part(keys=keys, labels=labels, read=str.encode))


def test_of_many_images_a_sample_is_tried_without_those_that_may_be_held_out() -> None:
    corpus = corpus_of(4_000)
    chosen = replace(parameters("auto"), validation=ml.Validation.split(0.1))
    sample = sample_of(corpus, chosen, AutomaticExtractor(most_images=1_000), no_sides())
    assert np.bincount(sample.labels).tolist() == [500, 500]
    keys = [sample.key_of(row) for row in range(1_000)]
    assert len(set(keys)) == 1_000
    assert [sample.bytes_of(row).decode() for row in (0, 999)] == [keys[0], keys[999]]
    assert [key[0] for key in keys] == ["ab"[label] for label in sample.labels]
    again = sample_of(corpus, chosen, AutomaticExtractor(most_images=1_000), no_sides())
    assert again.digest == sample.digest
    assert sample_of(corpus, replace(chosen, seed=1), AutomaticExtractor(), no_sides()).digest != sample.digest
    digests = keyed_generator(0, "contents").integers(0, 256, (4_000, 32), dtype=np.uint8)
    held_out = split_rows(corpus.training.labels, digests, 0.1, 0)
    usable = sample.usable(corpus.training.labels, digests)
    assert not (usable & held_out).any()
    assert 0.85 < usable.mean() < 0.9
    # Of all images it is known exactly.
    few = corpus_of(300)
    whole = sample_of(few, chosen, AutomaticExtractor(), no_sides())
    expected = ~split_rows(few.training.labels, digests[:300], 0.1, 0)
    assert (whole.usable(few.training.labels, digests[:300]) == expected).all()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="an extractor is chosen by how good heads are"):
        replace(parameters("auto"), tune="off")
    with pytest.raises(InvalidParameter, match="name one to fine-tune"):
        ml.FineTune(feature_extractor="auto")  # type: ignore[arg-type]
    for candidates in ([], [ml.scene_print()], [ml.scene_print(), "lite1"], [ml.scene_print(), ml.scene_print(2)]):
        with pytest.raises(InvalidParameter, match="candidates"):
            AutomaticExtractor(candidates=candidates)  # type: ignore[arg-type]
    for most in (0, True, 2.5):
        with pytest.raises(InvalidParameter, match="most_images"):
            AutomaticExtractor(most_images=most)  # type: ignore[arg-type]


def test_it_is_stored_as_it_was_given() -> None:
    given = parameters(OF_TWO)
    assert ml.ModelParameters.from_json(given.to_json(), given.settings()) == replace(given, max_iterations=25)
    assert parameters("auto") == parameters(AutomaticExtractor())
