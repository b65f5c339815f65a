"""Which images a prediction works on: those that its session has recorded, or those of today."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import closing, suppress

import numpy as np

from mlsession.data.changes import keys_in_both, replaced_keys, with_new_versions
from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData, ModifiedTrainingData
from mlsession.inference.inputs import IMAGES_INDEX
from mlsession.inference.task import IMAGES
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import blob_digest
from mlsession.session.opening import attach
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.store import Store

_CURE = (
    "put the images back as they were, take the changes on with on_modified_data='update' (--on-modified-data update), "
    "or predict to another output"
)


def recorded_index(session: TrainingSession, found: ImageIndex, open_store: Callable[[], Store]) -> ImageIndex:
    """The images that a session recorded; stored again where that is damaged and those of today are the same.

    Raises `DamagedData` where they are not.
    """
    try:
        return ImageIndex.from_bytes(session.attachment(IMAGES_INDEX))
    except DamagedData as damage:
        again = found.to_bytes()
        if sha256(again) != blob_digest(damage.key):
            raise
        with closing(open_store()) as store:
            attach(store, again)
        return ImageIndex.from_bytes(again)


def index_to_predict(
    session: TrainingSession, recorded: ImageIndex, found: ImageIndex, read: Callable[[str], bytes]
) -> ImageIndex:
    """The images to work on: `recorded` itself, or those of today (`found`) where the caller takes changes on.

    Raises `ModifiedTrainingData` for changed ones otherwise.
    """
    choice = session.parameters.on_modified_data
    if choice == "ignore":
        return recorded
    try:
        _check_unchanged(session, recorded, found, read)
    except ModifiedTrainingData as change:
        if choice == "fail":
            raise
        return with_new_versions(recorded, found, change.replaced)
    return recorded


def _check_unchanged(
    session: TrainingSession, recorded: ImageIndex, found: ImageIndex, read: Callable[[str], bytes]
) -> None:
    digests = functools.cache(lambda: _digests(session))  # Read only if a version differs.

    def digest_of(row: int) -> bytes | None:
        known = digests()
        return known[row].tobytes() if row < len(known) else None

    change = recorded.compare(found)
    looked_at = keys_in_both(recorded, found) if session.parameters.verify_content else change.replaced
    replaced = tuple(replaced_keys(looked_at, recorded, found, read, digest_of))
    if change.added or change.removed or replaced:
        raise ModifiedTrainingData(change.added, change.removed, (), replaced, _CURE, IMAGES)


def _digests(session: TrainingSession) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [images, 32]: the contents predicted so far, up to the first damaged blob; driving the session mends it."""
    blocks = [np.empty((0, 32), dtype=np.uint8)]
    newest, attachments = session.timeline.newest.get(Phase.INFERENCING), session.attachments
    inputs = attachments[IMAGES_INDEX].sha256 if IMAGES_INDEX in attachments else ""
    if newest is not None and newest.inputs == inputs:
        with suppress(DamagedData):
            blocks += [block["digest"] for block in session.past.rows(Phase.INFERENCING, names=("digest",))]
    return np.concatenate(blocks)
