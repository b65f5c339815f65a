"""A session as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.display.html import card, facts, table

if TYPE_CHECKING:
    from mlsession.session.session import TrainingSession

MOST_CHECKPOINTS = 10
"""Of more the newest are shown."""


def session_html(session: TrainingSession) -> str:
    """Where a session stands, and its newest checkpoints."""
    checkpoints = session.checkpoints
    about = {
        "phase": f"{session.phase}, iteration {session.iteration}",
        "newest record": f"{session.date:%Y-%m-%d %H:%M:%S} UTC",
        "checkpoints": f"{len(checkpoints):,}",
    }
    newest = checkpoints[-MOST_CHECKPOINTS:]
    metrics = sorted({name for checkpoint in newest for name in checkpoint.metrics})
    rows = [
        (each.number, each.phase, each.iteration, *(each.metrics.get(name, "") for name in metrics)) for each in newest
    ]
    header = ["number", "phase", "iteration", *(name.replace("_", " ") for name in metrics)]
    listed = table(header, rows) if rows else ""
    return card(session.url, session.status.value, [facts(about), listed])
