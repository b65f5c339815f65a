"""A committed state, as callers see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlsession.session.log.layout import record_key
from mlsession.session.log.records import CheckpointEntry
from mlsession.store.location import join_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An immutable, committed state of a session."""

    number: int
    """Its record's number in the log."""
    phase: str
    iteration: int
    date: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    url: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members; the date as ISO 8601."""
        return {
            "number": self.number,
            "phase": self.phase,
            "iteration": self.iteration,
            "date": self.date.isoformat(),
            "metrics": dict(self.metrics),
            "url": self.url,
        }


def checkpoint_of(entry: CheckpointEntry, session_url: str) -> Checkpoint:
    """The public form of a log entry."""
    return Checkpoint(
        number=entry.number,
        phase=entry.phase,
        iteration=entry.iteration,
        date=datetime.fromisoformat(entry.date),
        metrics=entry.metrics,
        url=join_url(session_url, record_key(entry.number)),
    )
