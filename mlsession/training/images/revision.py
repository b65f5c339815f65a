"""Which images an attempt works on: those that its session recorded, or those of today if it takes changes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mlsession.data.digests import DigestMap
from mlsession.data.index import ImageIndex
from mlsession.data.validation import Validation
from mlsession.errors import DamagedData
from mlsession.phases.contents import earlier_digests
from mlsession.session.donor import DONOR, Donor
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.opening import Emit
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.training.images.corrected import recorded_corrections, tell_corrections
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import (
    CARRIED,
    SPLIT_SIDES,
    TEST_INDEX,
    TRAINING_INDEX,
    VALIDATION_INDEX,
    decode_sides,
    encode_sides,
    images_digest,
    merged_sides,
    no_sides,
    sides_of,
)
from mlsession.training.request import Indexes, Request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Revision:
    """The images of an attempt, and what its opening has to say of them."""

    training: ImageIndex
    validation: ImageIndex | None = None
    carried: Mapping[str, BlobRef] = field(default_factory=dict)
    """Attachments of the newest opening that stay."""
    new: Mapping[str, bytes] = field(default_factory=dict)
    """Attachments that are still to be stored."""
    again: tuple[bytes, ...] = ()
    """Recorded ones whose stored bytes are damaged: to be stored again."""


def recorded_revision(session: TrainingSession, found: Indexes | None = None) -> Revision:
    """The images that a session's newest opening works on; `found` is what was listed just now, see `read_index`.

    Raises `DamagedData`.
    """
    names = session.identity.attachments.keys() | session.attachments.keys()
    training = read_index(session, TRAINING_INDEX, found=found)
    validation = read_index(session, VALIDATION_INDEX, found=found) if VALIDATION_INDEX in names else None
    return Revision(
        training=training.index,
        validation=None if validation is None else validation.index,
        carried={name: ref for name, ref in session.attachments.items() if name in CARRIED},
        again=tuple(each.again for each in (training, validation) if each is not None and each.damaged),
    )


def with_kept_corrections(
    request: Request, session: TrainingSession, images: Revision | Indexes, test: ImageIndex | None, emit: Emit
) -> Request:
    """Says what became of today's corrections in the images that are worked on, and gives the request with those that
    the attempt keeps: where changes are ignored, the ones of before. The test images are those of today.

    Raises `DamagedData`.
    """
    is_kept = request.session.on_modified_data == "ignore"
    by_name = {TRAINING_INDEX: images.training, VALIDATION_INDEX: images.validation, TEST_INDEX: test}
    tell_corrections(request.sources, by_name, emit, is_kept)
    if not is_kept:
        return request
    data = replace(request.data, corrections=recorded_corrections(session, TRAINING_INDEX))
    parameters = request.parameters
    if request.validation is not None:
        held_out = replace(request.validation, corrections=recorded_corrections(session, VALIDATION_INDEX))
        parameters = replace(parameters, validation=Validation.data(held_out))
    return replace(request, data=data, parameters=parameters)


def updated_revision(session: TrainingSession, training: ImageIndex, validation: ImageIndex | None) -> Revision:
    """The images of today in place of the recorded ones.

    Extracting starts over and finds the rows it made before through a donor: the session itself, as of now. Images
    that were on one side of the split stay there. Raises `DamagedData` where nobody can tell on which they were.
    """
    carried = {name: ref for name, ref in session.attachments.items() if name in (SPLIT_SIDES, DONOR)}
    new = {TRAINING_INDEX: training.to_bytes()}
    if validation is not None:
        new[VALIDATION_INDEX] = validation.to_bytes()
    extracted = session.timeline.newest.get(Phase.EXTRACTING)
    if extracted is not None and _is_of_now(session, extracted):
        sides = _known_sides(session) if extracted.ended else no_sides()
        if len(sides):
            new[SPLIT_SIDES] = encode_sides(merged_sides(sides, recorded_sides(session)))
        # What was extracted of an update that was cut short is less than what its own donor has.
        if extracted.ended or DONOR not in carried:
            new[DONOR] = Donor(url=None, checkpoint=extracted.number).encode()
    return Revision(
        training=training,
        validation=validation,
        carried={name: ref for name, ref in carried.items() if name not in new},
        new=new,
    )


def recorded_sides(session: TrainingSession) -> DigestMap:
    """Which contents were held out before the data changed, by SHA-256; empty if they never did."""
    return decode_sides(session.attachment(SPLIT_SIDES)) if SPLIT_SIDES in session.attachments else no_sides()


def split_sides(session: TrainingSession) -> DigestMap:
    """Which contents are held out, by SHA-256, once extracting has ended; without those that cannot be read."""
    state = session.past.state(Phase.EXTRACTING)
    from_split = len(read_index(session, TRAINING_INDEX).index)
    readable, held_out = (state.arrays[name].astype(bool)[:from_split] for name in ("readable", "validation"))
    digests = np.concatenate(list(earlier_digests(session.past)))[:from_split]
    return sides_of(digests[readable], held_out[readable])


def _known_sides(session: TrainingSession) -> DigestMap:
    try:
        return split_sides(session)
    except DamagedData as damage:
        cure = (
            "it says which images are held out, and taken on without it some would change sides: "
            f"`mlsession checkpoints repair {session.url}` makes it again from its images "
            "(put those of them back that have changed), then the same call goes on"
        )
        raise DamagedData(damage.key, f"{damage.reason}; {cure}") from damage


def _is_of_now(session: TrainingSession, extracted: CheckpointEntry) -> bool:
    """Whether an extraction is one of the images that the session works on now."""
    return extracted.inputs == images_digest(session.attachments)
