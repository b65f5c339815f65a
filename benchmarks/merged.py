"""The features of all photos of a folder with `train` and `test`, as one session extracts them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlsession as ml
from mlsession.augment.automatic import Augmentation
from mlsession.clock import SystemClock
from mlsession.job.context import JobContext
from mlsession.phases.features import FeatureTable, load_features
from mlsession.training.parameters import Tune
from mlsession.training.prepare import recorded


@contextmanager
def merged(
    photos: Path, augmentation: Augmentation = (), tune: Tune = "off"
) -> Iterator[tuple[FeatureTable, tuple[str, ...], ml.Classifier, Path]]:
    """Table, classes, a classifier that was hardly trained, and the folder of all photos, for as long as it is open."""
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "photos"
        for part in ("train", "test"):
            for photo in sorted((photos / part).rglob("*.*")):
                target = everything / photo.parent.name / f"{part}-{photo.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(photo, target)
        parameters = ml.ModelParameters(
            validation=ml.Validation.none(), augmentation=augmentation, max_iterations=1, tune=tune
        )
        where = ml.SessionParameters(Path(folder) / "session", cache=None)
        classifier = ml.Classifier.train(ml.DataSource.labeled_directories(everything), parameters, where).result()
        with closing(ml.Classifier.restore_training_session(where)) as session:
            context = JobContext(emit=lambda event: None, clock=SystemClock())
            with recorded(session, context) as task:
                yield load_features(session.past, task.corpus.labels), task.corpus.classes, classifier, everything
