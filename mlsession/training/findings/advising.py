"""What limits the model of a session, asked of the session alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mlsession.advising.advice import Verdict
from mlsession.errors import UsageError
from mlsession.job.run import SessionPlace
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.training.findings.results import StoredResults
from mlsession.training.findings.summary import SessionSummary


def advise(session: TrainingSession | str | Path, *, storage_options: Mapping[str, object] | None = None) -> Verdict:
    """What limits the model of a session, and the one step to try next, with the figures that show it.

    `session` is one that has been trained and evaluated, or its path or URL; it is only read, and neither images nor
    features are. The rules are in docs/advice.md. Raises `UsageError` for a session that is not evaluated yet,
    `SessionNotFound`, `DamagedData`, `StoreError`.
    """
    if isinstance(session, TrainingSession):
        session.refresh()
        return _advised(session)
    parameters = SessionParameters(session, storage_options=storage_options or {})
    with closing(TrainingSession(SessionPlace.of(parameters).open, parameters)) as opened:
        return _advised(opened)


def advice_of(results: StoredResults) -> Verdict:
    """The same of the model of one evaluation. Raises `UsageError` where its session has a later one."""
    place = results.place
    parameters = SessionParameters(place.url, storage_options=place.storage_options)
    with closing(TrainingSession(place.open, parameters)) as session:
        newest = session.timeline.newest.get(Phase.EVALUATING)
        if newest is None or newest.number != results.checkpoint:
            raise UsageError(f"{session.url} has trained on since this model was made; ask the session: ml.advise(...)")
        return _advised(session)


def _advised(session: TrainingSession) -> Verdict:
    verdict = SessionSummary.of(session, all_checkpoints=False).advice
    if verdict is None:
        raise UsageError(f"{session.url} is not evaluated yet, or what it found is damaged; let its training end")
    return verdict
