"""What was said of each image when a session was evaluated, read back from its store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from mlsession.errors import InvalidParameter, UsageError
from mlsession.job.run import SessionPlace
from mlsession.metrics.images import ImageResults
from mlsession.phases.evaluated import PARTS, PartName, results_of
from mlsession.session.log.blobs import as_written
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.session import TrainingSession
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TEST_INDEX, TRAINING_INDEX, VALIDATION_INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResults:
    """Where the results of one evaluation lie; later attempts on the session do not change what is read."""

    place: SessionPlace
    checkpoint: int
    """The number of the checkpoint that ended it."""

    def read(self, part: PartName) -> ImageResults:
        """The results of a part. Raises `UsageError` for one without images, `StoreError`, `DamagedData`."""
        parameters = SessionParameters(self.place.url, storage_options=self.place.storage_options)
        with closing(TrainingSession(self.place.open, parameters)) as session:
            return image_results(session, session.at_checkpoint(self.checkpoint), part)


def image_results(session: TrainingSession, past: StoredPast, part: PartName) -> ImageResults:
    """What was said of the images of a part, by path within their source.

    Raises `UsageError` where there are none, and `DamagedData`.
    """
    with as_written("results of images"):
        return _image_results(session, past, part)


def _image_results(session: TrainingSession, past: StoredPast, part: PartName) -> ImageResults:
    columns = results_of(past, part)
    if not columns:
        raise no_results(part)
    training = read_index(session, TRAINING_INDEX, past).index
    rows = columns.pop("row").tolist()
    if part == "test":
        test = read_index(session, TEST_INDEX, past).index
        paths = tuple(test.keys[row] for row in rows)
    else:
        first = len(training)
        paths = tuple(training.keys[row] for row in rows if row < first)
        if len(paths) < len(rows):
            validation = read_index(session, VALIDATION_INDEX, past).index
            paths += tuple(validation.keys[row - first] for row in rows if row >= first)
    return ImageResults(classes=training.classes, paths=paths, columns=columns)


def no_results(part: PartName) -> UsageError:
    """The error for results that there are not."""
    cure = {
        "training": "finish its training",
        "validation": "train with validation images",
        "test": "train with test images, or evaluate it on a folder of them",
    }[part]
    return UsageError(f"no results of {part} images are stored of this model; {cure}")


def check_part(part: str) -> PartName:
    """The part of that name. Raises `InvalidParameter` for what is none."""
    for known in PARTS:
        if part == known:
            return known
    raise InvalidParameter("part", part, f"must be one of {', '.join(PARTS)}")
