"""Repairing a session of image classification: its task makes again what its images and its log give."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from mlsession.clock import Clock
from mlsession.errors import DamagedData, UsageError
from mlsession.job.context import JobContext
from mlsession.job.run import SessionPlace
from mlsession.phases.donation import DonatedRows
from mlsession.session.donor import Donor
from mlsession.session.opening import Emit
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.session.upkeep.integrity import Repair
from mlsession.training.donated import donated_rows
from mlsession.training.images.indexes import put_back_indexes
from mlsession.training.prepare import recorded
from mlsession.training.task import ImageClassification


def repair_training_session(parameters: SessionParameters, clock: Clock, emit: Emit) -> Repair:
    """Mends a session with the data that it names; see `session.upkeep.repair`.

    Images are read only where something extracted is damaged, and of these only those are decoded whose features are
    lost. An index of images that is damaged is put back if listing its data still gives it. Raises as
    `TrainingSession.repair` does.
    """
    place = SessionPlace.of(parameters)
    with TrainingSession(place.open, parameters, clock) as session, ExitStack() as stack:
        put_back = put_back_indexes(session, place.open)
        try:
            task = stack.enter_context(recorded(session, JobContext(emit=emit, clock=clock)))
        except (DamagedData, UsageError) as error:
            done = session.repair(None, emit, f"what makes it again cannot be had: {error}")
        else:
            done = session.repair(_with_own_rows(task, session, place), emit)
    return replace(done, remade=(*put_back, *done.remade))


def _with_own_rows(task: ImageClassification, session: TrainingSession, place: SessionPlace) -> ImageClassification:
    """The task as it takes over what is whole of the session's own features, should it have to begin before them."""
    extracted = session.timeline.newest.get(Phase.EXTRACTING)
    if extracted is None:
        return task
    donor, identity = Donor(url=None, checkpoint=extracted.number), session.identity

    def own_rows(extractor: str) -> DonatedRows:
        return donated_rows(donor, identity, extractor, place.open, place.storage_options)

    return replace(task, donation=own_rows)
