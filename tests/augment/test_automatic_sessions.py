"""Views that are chosen, in whole trainings: kept where they help, resumed exactly, and used by all that follows.

What is held out is blurred, and what is trained on is not: so blurred views help beyond doubt.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import mlsession as ml
from mlsession.augment.views import ViewPlan
from mlsession.cli.printing.chosen import chosen_words
from mlsession.clock import SystemClock
from mlsession.errors import Cancelled, InvalidParameter
from mlsession.events import Progressed
from mlsession.job.context import JobContext
from mlsession.phases.features import load_features
from mlsession.session.phase import Phase
from mlsession.training.findings.learning import _material, _views
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.prepare import recorded
from tests.photos import copy_photos

LABELS = ("Banana", "Kiwi", "Lemon")
IMAGES, HELD_OUT = 24, 24
BLUR = ml.Blur(radius=(0.06, 0.08), views=1)
CHOICE = ml.AutomaticAugmentation(options=["flip", BLUR])

Start = Callable[..., ml.Job[ml.Classifier]]


def hold_out_blurred(photos: Path, folder: Path) -> Path:
    """Moves every second photo to another folder, as through a lens that is out of focus."""
    for path in sorted(photos.rglob("*.jpg"))[::2]:
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        photo.filter(ImageFilter.GaussianBlur(0.07 * min(photo.size))).save(target, quality=92)
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a training on sharp photos, of which those held out are blurred; features are extracted once."""
    folder = tmp_path_factory.mktemp("photos")
    copies = copy_photos(folder / "train", "train", (IMAGES + HELD_OUT) // 3, LABELS)
    held_out = ml.DataSource.labeled_directories(hold_out_blurred(copies, folder / "val"))
    photos = ml.DataSource.labeled_directories(copies)
    parameters = ml.ModelParameters(
        validation=ml.Validation.data(held_out), augmentation=CHOICE, tune="validation", max_iterations=3
    )

    def begin(session: Path, **changes: object) -> ml.Job[ml.Classifier]:
        where = ml.SessionParameters(session, checkpoint_interval=1, report_interval=1, cache=str(folder / "cache"))
        return ml.Classifier.train(photos, replace(parameters, **changes), where)  # type: ignore[arg-type]

    return begin


@pytest.fixture(scope="module")
def whole(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ml.Classifier]:
    """A session that nobody disturbed."""
    session = tmp_path_factory.mktemp("whole") / "session"
    return session, start(session).result()


def opened(session: Path) -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(ml.SessionParameters(session))


def test_what_helps_is_trained_on_and_nothing_else(whole: tuple[Path, ml.Classifier]) -> None:
    with opened(whole[0]) as session:
        told = SessionSummary.of(session).selection
        assert session.past.state(Phase.EXTRACTING).data["rows"] == 3 * IMAGES + HELD_OUT
        assert session.past.state(Phase.TRAINING).data["rows"] == 2 * IMAGES
    assert told is not None
    assert told.views is not None
    assert told.views.kept == ("blur",)
    assert [each.views for each in told.views.judged][:3] == [(), ("blur",), ("flip",)]
    assert told.judged == HELD_OUT
    assert chosen_words(told).startswith(f"views blur chosen out of {len(told.views.judged)} sets: none ")
    assert told.to_json()["views"] == told.views.to_json()


def test_cancelled_while_choosing_views_it_goes_on_as_if_never_cancelled(
    start: Start, tmp_path: Path, whole: tuple[Path, ml.Classifier]
) -> None:
    job = start(tmp_path / "session")
    next(
        event
        for event in job.events()
        if isinstance(event, Progressed) and event.phase == Phase.SELECTING and event.metrics.get("sets") == 1
    )
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    with opened(tmp_path / "session") as session:
        assert session.phase == Phase.SELECTING
        assert session.past.state(Phase.SELECTING).data["plain"]
    resumed = start(tmp_path / "session").result()
    assert resumed.model_digest == whole[1].model_digest


def test_the_option_alone_gives_the_same_model_and_extracts_nothing(
    start: Start, tmp_path: Path, whole: tuple[Path, ml.Classifier]
) -> None:
    job = start(tmp_path / "session", augmentation=[BLUR], max_iterations=100)
    alone = job.result()
    (*_, last) = (event for event in job.events() if isinstance(event, Progressed) and event.phase == Phase.EXTRACTING)
    assert last.metrics["reused"] == 2 * IMAGES + HELD_OUT
    assert alone.validation_metrics.accuracy == pytest.approx(whole[1].validation_metrics.accuracy, abs=0.05)


def test_predictions_are_averaged_over_the_views_that_were_trained_on(
    start: Start, whole: tuple[Path, ml.Classifier]
) -> None:
    plan = ViewPlan(options=(BLUR,))
    assert whole[1]._views("training") == plan
    assert ml.Classifier.load(whole[0])._views("training") == plan


def test_a_learning_curve_is_of_heads_with_the_views_that_were_kept(whole: tuple[Path, ml.Classifier]) -> None:
    context = JobContext(emit=lambda event: None, clock=SystemClock())
    with opened(whole[0]) as session, recorded(session, context) as task:
        views = _views(session, task)
        material, _ = _material(load_features(session.past, task.corpus.labels), task, views)
    assert views == (0, 1)
    assert len(material.rows) == 2 * IMAGES
    assert (np.bincount(material.image) == 2).all()


def test_of_too_few_images_no_views_are_kept(start: Start, tmp_path: Path) -> None:
    classifier = start(tmp_path / "session", validation=ml.Validation.split(0.2)).result()
    with opened(tmp_path / "session") as session:
        told = SessionSummary.of(session).selection
        trained = session.past.state(Phase.TRAINING).data["rows"]
    assert told is not None
    assert told.views is not None
    assert (told.kind, told.views.kept, told.views.judged) == ("default", (), ())
    assert trained == classifier.training_metrics.count
    assert chosen_words(told).startswith("views none, since there are too few images")
    with pytest.raises(InvalidParameter, match="was not"):
        classifier.check_views("training")
