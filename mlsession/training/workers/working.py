"""What a worker process does for a session: drive it as rank 0, or follow rank 0. The store says what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from mlsession.devices.crew import Crew
from mlsession.events import Event
from mlsession.job.context import JobContext
from mlsession.job.run import SessionPlace, drive_options, surroundings
from mlsession.phases.leading import led
from mlsession.session.attempt import advance_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past
from mlsession.session.session import TrainingSession
from mlsession.training.outcome import Trained
from mlsession.training.prepare import recorded, restored
from mlsession.training.request import Access
from mlsession.training.task import ImageClassification
from mlsession.training.workers.crew import follow


def drive(
    parameters: SessionParameters, crew: Crew | None, context: JobContext, access: Access, *, is_prepared: bool
) -> Trained:
    """Takes a session to its result, with what the others of its crew do, and lets them go, however it ends.

    `is_prepared`: somebody has compared its data with the recorded ones just now. Raises what `Classifier.resume`
    raises, and `WorkerLost`.
    """
    place = SessionPlace.of(parameters)
    with (
        led(crew),
        _opened(parameters, context) as session,
        restored(session, context, access=access, is_prepared=is_prepared) as (task, opening, known),
    ):
        around, options = surroundings(place, parameters, context), drive_options(parameters)
        shared = replace(task, crew=crew, is_shared=parameters.strategy == "fsdp")
        return advance_session(shared, around, opening, options, known)


def take_part(parameters: SessionParameters, crew: Crew, context: JobContext, access: Access) -> None:
    """Follows rank 0 until it lets this process go. Raises `WorkerLost` where rank 0 is gone."""

    @contextmanager
    def open_task(emit: Callable[[Event], None]) -> Iterator[tuple[ImageClassification, Past]]:
        told = replace(context, emit=emit)
        with _opened(parameters, told) as session, recorded(session, told, access) as task:
            around = surroundings(SessionPlace.of(parameters), parameters, told)
            yield replace(task, crew=crew, open_store=around.open_patient_store), session.past

    follow(crew, open_task)


def has_ended(parameters: SessionParameters) -> bool:
    """Whether whoever opened the session last has said how it ended."""
    with TrainingSession(SessionPlace.of(parameters).open, parameters) as session:
        return session.timeline.closed is not None


@contextmanager
def _opened(parameters: SessionParameters, context: JobContext) -> Iterator[TrainingSession]:
    place = SessionPlace.of(parameters)
    with closing(TrainingSession(place.open, parameters, context.clock)) as session:
        yield session
