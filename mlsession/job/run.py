"""Starting a job on a session of any task: create or restore the session, then drive it to its result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from mlsession.errors import UsageError
from mlsession.events import SessionCreated
from mlsession.job.callbacks import Callback
from mlsession.job.job import Job, JobContext
from mlsession.session.attempt import Surroundings, advance_session, retry_teller
from mlsession.session.drive import DriveOptions
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.log.journal import LogState
from mlsession.session.loggers import LoggerName, logger_choices
from mlsession.session.opening import OpenOptions, create_session, find_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json, Task
from mlsession.session.watching.liveness import this_process
from mlsession.store import open_store
from mlsession.store.protocol import Store
from mlsession.store.retrying import RetryingStore

T = TypeVar("T")
LOGGER_SECONDS = 120.0
"""How long a job that is not asked to stop waits for its loggers at its end: some talk to a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlace:
    """The folder a session lives in: a URL and how to reach it."""

    url: str
    temporary: bool = False
    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(parameters: SessionParameters) -> SessionPlace:
        """The place that the parameters name, or a new temporary folder."""
        if parameters.url is None:
            return SessionPlace(url=tempfile.mkdtemp(prefix="mlsession-"), temporary=True)
        return SessionPlace(url=str(parameters.url), storage_options=parameters.storage_options)

    def open(self) -> Store:
        """A new handle on the folder."""
        return open_store(self.url, self.storage_options)


def run_task(
    task: Task[T],
    session: SessionParameters,
    parameters: Mapping[str, Json],
    callbacks: Sequence[Callback] = (),
) -> Job[T]:
    """Starts, resumes or returns the result of a task: the same call for all three.

    `parameters` are what matters to the result: a session made with others is refused with `IncompatibleParameters`.
    `callbacks` are told of all that happens. The job raises, through `Job.result`, what `advance_session` raises.
    """
    check_loggers(session)
    place = SessionPlace.of(session)
    identity = Identity(task=task.name, phases=task.phases, parameters=parameters)

    def work(context: JobContext) -> T:
        known = ensure_session(place, session, context, identity)
        start_logging(place, session, context, known)
        return advance_session(
            task, surroundings(place, session, context), open_options(session), drive_options(session), known
        )

    return Job(work, callbacks=callbacks)


def ensure_session(
    place: SessionPlace,
    session: SessionParameters,
    context: JobContext,
    identity: Identity,
    attachments: Callable[[], Mapping[str, bytes]] = dict,
    numerics: Callable[[], Mapping[str, Json]] = dict,
    settings: Mapping[str, Json] | None = None,
) -> LogState:
    """The session at a place, made now if there is none.

    `attachments` and `numerics` are only asked for to make one. Raises `IncompatibleParameters` where there is one of
    other parameters; `CredentialsExpired` soon, as they have never been taken yet; and what reading it raises.
    """
    emit, teller = context.emit, retry_teller(context.emit)
    store = RetryingStore(
        place.open(), context.clock, session.backoff, teller, this_process().name, heed=context.stop.check
    )

    def announce(event: object) -> None:
        if isinstance(event, SessionCreated):
            emit(SessionCreated(url=event.url, temporary=place.temporary))

    try:
        state = find_session(store)
        if state is None:
            inputs = attachments()  # First: what cannot be trained on is refused before a network is loaded.
            complete = replace(identity, numerics=numerics())
            state = create_session(store, context.clock, complete, inputs, announce, settings or {})
        original = Identity.from_record(state.timeline.opened)
        if original.task != identity.task:
            raise UsageError(
                f"{store.url} holds a session of task {original.task!r}, not {identity.task!r}; choose another folder"
            )
        check_compatible(
            original.parameters,
            identity.parameters,
            "go back to the old value, or choose another session folder, which finds what can be reused in the cache",
        )
        return state
    finally:
        store.close()


def surroundings(place: SessionPlace, session: SessionParameters, context: JobContext) -> Surroundings:
    """What an attempt on a session needs of the world, from its parameters and its job."""
    return Surroundings(
        open_store=place.open,
        clock=context.clock,
        backoff=session.backoff,
        emit=context.emit,
        stop=context.stop,
        caller=this_process().name,
    )


def open_options(session: SessionParameters) -> OpenOptions:
    """How to become the writer."""
    return OpenOptions(stale_after=session.stale_after, take_over=session.take_over)


def drive_options(session: SessionParameters) -> DriveOptions:
    """When to report and save."""
    return DriveOptions(
        policy=session.save_policy,
        report_interval=session.report_interval,
        grace_seconds=session.grace_seconds,
        retention=session.retention,
    )


def check_loggers(session: SessionParameters) -> None:
    """Raises `InvalidParameter` where what a logger takes that is asked for by its name is not installed."""
    names = [choice for choice in logger_choices(session.logger) if isinstance(choice, LoggerName)]
    if names:
        from mlsession.loggers.bound import check_installed

        for name in names:
            check_installed(name)


def start_logging(
    place: SessionPlace, session: SessionParameters, context: JobContext, known: LogState
) -> Callable[[Mapping[str, float], int], None]:
    """Lets the loggers that are asked for follow the job; nothing of them is imported if there are none.

    What is returned takes what the session came to, by name, and the step to log it at.
    """
    choices = logger_choices(session.logger)
    if not choices:
        return lambda figures, step: None
    from mlsession.loggers.earlier import earlier_figures
    from mlsession.loggers.logging import SessionLogging
    from mlsession.loggers.run import run_of

    def patience() -> float:
        left = context.stop.seconds_left(session.grace_seconds, context.clock)
        return LOGGER_SECONDS if left is None else max(left, 1.0)

    def conclude(figures: Mapping[str, float], step: int) -> None:
        for each in all_logging:
            each.conclude(figures, step)

    run = run_of(known, place.url, place.temporary)
    earlier = partial(earlier_figures, place.open, session)
    all_logging = [SessionLogging(choice, run, context.emit, earlier) for choice in choices]
    for each in all_logging:
        context.attend(each, patience, each.be_late)
    return conclude
