"""Did the data change since the session was made? Only another content is a change, not another time stamp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from mlsession.data.changes import keys_in_both, replaced_keys, with_new_versions
from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData, ModifiedTrainingData
from mlsession.phases.contents import earlier_digests
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.training.images.inputs import images_digest
from mlsession.training.request import Indexes

_CURE = (
    "put the data back as they were, take the changes on with on_modified_data='update' (--on-modified-data update), "
    "or train in a new session folder"
)


def check_unchanged(
    recorded: ImageIndex,
    found: ImageIndex,
    read: Callable[[str], bytes],
    digest_of: Callable[[int], bytes | None],
    every: bool = False,
    cure: str = "",
) -> None:
    """Raises `ModifiedTrainingData` if the listing of today holds other images than the recorded one.

    An image of another version and the same size is read and hashed: it counts as replaced if its content differs
    from what was extracted. `digest_of` gives that content's SHA-256 by row, or None for a row not extracted yet. With
    `every` all images are, whatever is said of their files. `cure` is said before the usual ones.
    """
    change = recorded.compare(found)
    looked_at = change.replaced if not every else keys_in_both(recorded, found, change.relabeled)
    replaced = tuple(replaced_keys(looked_at, recorded, found, read, digest_of))
    if change.added or change.removed or change.relabeled or replaced:
        raise ModifiedTrainingData(
            change.added, change.removed, change.relabeled, replaced, cure + _CURE, labels=change.labels
        )


def renewed(
    recorded: tuple[ImageIndex, ImageIndex | None], found: Indexes, replaced: Sequence[str]
) -> tuple[ImageIndex, ImageIndex | None]:
    """The listings of today to go on with, of training and of validation images, against the recorded ones.

    Images that were replaced unseen have another version than before, see `with_new_versions`.
    """
    validation = found.validation
    if recorded[1] is not None and validation is not None:
        validation = with_new_versions(recorded[1], validation, replaced)
    return with_new_versions(recorded[0], found.training, replaced), validation


def extracted_digests(session: TrainingSession) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [images, 32]: the contents extracted so far, up to the first damaged blob; driving the session mends it.

    None where what is extracted is not of the images that the session works on now.
    """
    blocks = list[np.ndarray[tuple[int, int], np.dtype[np.uint8]]]()
    extracted = session.timeline.newest.get(Phase.EXTRACTING)
    if extracted is not None and extracted.inputs == images_digest(session.attachments):
        with suppress(DamagedData):
            blocks.extend(earlier_digests(session.past))
    return np.concatenate(blocks) if blocks else np.empty((0, 32), dtype=np.uint8)
