"""Sessions that are looked at for what they have extracted: opened to be read, and refused before that is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from mlsession.errors import UsageError
from mlsession.events import Event, StoreRetried
from mlsession.job.run import SessionPlace
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.training.images.inputs import images_digest
from mlsession.training.task import TASK

Tell = Callable[[str], None]
"""Hears in words what is done at the moment."""


@contextmanager
def extracted_session(
    session: TrainingSession | str | Path, then: str, storage_options: Mapping[str, object] | None = None
) -> Iterator[TrainingSession]:
    """A session that has extracted all its images, as it stands now; one that is given by path or URL is closed again.

    Raises `UsageError` for another one, with the advice to train on and `then` do what was asked for, `SessionNotFound`
    and other `StoreError`s.
    """
    if isinstance(session, TrainingSession):
        session.refresh()
        _check_extracted(session, then)
        yield session
        return
    parameters = SessionParameters(session, storage_options=storage_options or {})
    with closing(TrainingSession(SessionPlace.of(parameters).open, parameters)) as opened:
        _check_extracted(opened, then)
        yield opened


def _check_extracted(session: TrainingSession, then: str) -> None:
    if session.identity.task != TASK:
        raise UsageError(f"{session.url} holds a session of task {session.identity.task!r}, not of {TASK!r}")
    extracted = session.timeline.newest.get(Phase.EXTRACTING)
    if extracted is None or not extracted.ended or extracted.inputs != images_digest(session.attachments):
        raise UsageError(f"{session.url} has not extracted all its images yet; go on training it, then {then}")


def say_retries(tell: Tell, event: Event) -> None:
    """Of all events those that explain why nothing happens."""
    if isinstance(event, StoreRetried):
        tell(f"{event.operation} failed ({event.reason}); try {event.attempt + 1} in {event.delay:.1f} s")


def reading_features(session: TrainingSession) -> str:
    """What is said before the features of a session are read: they are not those of a network that it has tuned."""
    tuned = ", those of before fine-tuning" if Phase.FINETUNING in session.identity.phases else ""
    return f"reading the features of the session{tuned}"
