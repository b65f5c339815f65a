"""A few photos of a session, to prove and measure exports on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

from mlsession.errors import DamagedData, StoreError, UnreadableImage, UsageError
from mlsession.export.protocol import Images
from mlsession.images.decode import prepare_image
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff
from mlsession.training.findings.results import StoredResults
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TEST_INDEX, TRAINING_INDEX
from mlsession.training.request import recorded_request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionPhoto:
    """One photo as networks take it."""

    picture: Images
    """uint8 [1, side, side, 3]."""
    label: str | None
    """Of a test image the true one; what a model says of images that it was trained on measures nothing."""


def session_photos(results: StoredResults | None, side: int, most: int) -> list[SessionPhoto]:
    """Up to `most` photos of a session, from all over its test images, or else its training's.

    Fewer, or none, where they cannot be read from here: an export needs no data, and its report says how many there
    were.
    """
    if results is None:
        return []
    found: list[SessionPhoto] = []
    try:
        for data, name, label in _photo_files(results, most):
            with suppress(UnreadableImage):
                found.append(SessionPhoto(picture=prepare_image(data, name, side)[None], label=label))
    except (UsageError, StoreError, DamagedData, KeyError):
        return found
    return found


def _photo_files(results: StoredResults, most: int) -> Iterator[tuple[bytes, str, str | None]]:
    place = results.place
    parameters = SessionParameters(place.url, storage_options=place.storage_options)
    with closing(TrainingSession(place.open, parameters)) as session:
        request, past = recorded_request(session), session.at_checkpoint(results.checkpoint)
        source, named = (request.data, TRAINING_INDEX)
        if request.testing is not None:
            source, named = (request.testing, TEST_INDEX)
        index = read_index(session, named, past).index
    count = min(most, len(index))
    with closing(source.reader(ReadPolicy(read_timeout=10, backoff=Backoff(give_up_after=10)))) as reader:
        for row in (place * len(index) // count for place in range(count)):
            label = index.classes[int(index.labels[row])] if named == TEST_INDEX else None
            yield reader.read(index.keys[row]), index.keys[row], label
