"""What a worker process does for a session: drive it as rank 0, or follow rank 0. The store says what is to be done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

from mlsession.devices.crew import Crew
from mlsession.errors import MLSessionError, StoreError
from mlsession.events import Event, SessionOpened
from mlsession.job.context import JobContext
from mlsession.job.run import SessionPlace, drive_options, surroundings
from mlsession.phases.leading import led
from mlsession.session.attempt import advance_session
from mlsession.session.log.records import Outcome
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past
from mlsession.session.session import TrainingSession
from mlsession.session.stop import LOST, StopKind, stop_requested
from mlsession.session.watching.liveness import ProcessIdentity, start_time_of, this_process
from mlsession.training.outcome import Trained
from mlsession.training.prepare import recorded, restored
from mlsession.training.request import Access
from mlsession.training.task import ImageClassification
from mlsession.training.workers.crew import follow


def drive(
    parameters: SessionParameters,
    crew: Crew | None,
    context: JobContext,
    access: Access,
    *,
    is_prepared: bool,
    is_restarted: bool = False,
) -> Trained:
    """Takes a session to its result, with what the others of its crew do, and lets them go, however it ends.

    `is_prepared`: somebody has compared its data with the recorded ones just now, and started this; `is_restarted`: a
    launcher has, as the workers before it died. Raises what `Classifier.resume` raises, and `WorkerLost`.
    """
    place = SessionPlace.of(parameters)
    with led(crew), _opened(parameters, context) as session, ExitStack() as stack:
        opened, closed = session.timeline.opened, session.timeline.closed
        # Of workers that stopped because they were asked to no launcher starts others.
        was_stopped = closed is not None and closed.body.get("outcome") == Outcome.PAUSED.value
        theirs = ProcessIdentity.from_json(opened.body.get("process"))
        if is_prepared or (is_restarted and not was_stopped and _began_under_our_launcher(theirs)):
            context = _asked_like(opened.number, place, context)
        prepared = restored(session, context, access=access, is_prepared=is_prepared)
        task, opening, known = stack.enter_context(prepared)
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


def _asked_like(before: int, place: SessionPlace, context: JobContext) -> JobContext:
    """A context whose job is asked to stop once it has opened the session, if opening `before` was, and is over.

    Whoever asks while nobody has the session open, as a launcher is still starting its workers, asks that one.
    """

    def emit(event: Event) -> None:
        context.emit(event)
        if isinstance(event, SessionOpened):
            with suppress(StoreError), closing(place.open()) as store:
                if (reason := stop_requested(store, before)) is not None:
                    context.stop.ask(StopKind.CANCELLED, reason, context.clock.monotonic())

    return replace(context, emit=emit)


def _began_under_our_launcher(process: ProcessIdentity) -> bool:
    """Whether a process began on this machine after our launcher did: else a stop was meant for an earlier job."""
    us, launcher = this_process(), start_time_of(os.getppid())
    if not (launcher and us.boot_id and process.start_time):
        return False
    same = (process.boot_id, process.pid_namespace) == (us.boot_id, us.pid_namespace)
    return same and int(process.start_time) >= int(launcher)


def newest_opening(parameters: SessionParameters) -> int | None:
    """The number of the session's newest opening; None where that cannot be had now."""
    with suppress(MLSessionError), TrainingSession(SessionPlace.of(parameters).open, parameters) as session:
        return session.timeline.opened.number
    return None


def has_ended(parameters: SessionParameters, before: int | None) -> bool:
    """Whether whoever opened the session after opening `before` has said how it ended, and it was not for want of us.

    What ended so no launcher is to begin again. Of several launchers one that sees all its workers end well goes, and
    the others would wait for it.
    """
    with TrainingSession(SessionPlace.of(parameters).open, parameters) as session:
        opened, closed = session.timeline.opened, session.timeline.closed
        is_ours = before is None or opened.number > before
        return is_ours and closed is not None and closed.body.get(LOST) is not True


@contextmanager
def _opened(parameters: SessionParameters, context: JobContext) -> Iterator[TrainingSession]:
    place = SessionPlace.of(parameters)
    with closing(TrainingSession(place.open, parameters, context.clock)) as session:
        yield session
