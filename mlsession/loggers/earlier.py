"""The figures of each iteration that a session has committed, for runs that lack some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TypeAlias

from mlsession.session.checkpoint import Checkpoint
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.parameters import SessionParameters
from mlsession.session.policy import is_report_due
from mlsession.session.session import TrainingSession, history_of
from mlsession.store.protocol import Store

Row: TypeAlias = "tuple[int, Mapping[str, float]]"
"""An iteration with its metrics by name."""
EarlierFigures: TypeAlias = "Mapping[str, Sequence[Row]]"
"""By phase, ascending."""


def earlier_figures(open_store: Callable[[], Store], parameters: SessionParameters) -> EarlierFigures:
    """The iterations that are reported at this interval: of phases that keep a history all, of others those with a
    checkpoint.

    Only reads. Raises `StoreError`, `DamagedData`.
    """
    with closing(TrainingSession(open_store, parameters)) as session:
        newest = session.timeline.newest
        # Of a phase without metrics there is no history either, and its state may be large.
        states = {phase: session.past.state(phase) for phase, entry in newest.items() if entry.metrics}
        found = {phase: _by_history(newest[phase], history_of(state)) for phase, state in states.items()}
        if not all(found.values()):
            checkpoints = session.checkpoints
            found = {phase: rows or _by_checkpoint(newest[phase], checkpoints) for phase, rows in found.items()}
    interval = parameters.report_interval
    return {
        phase: [row for row in rows if is_report_due(interval, row[0]) or (newest[phase].ended and row is rows[-1])]
        for phase, rows in found.items()
    }


def _by_history(entry: CheckpointEntry, history: Mapping[str, Sequence[float]]) -> Sequence[Row]:
    """Of a phase whose state has its metrics by iteration; none of another."""
    known = {name: values for name, values in history.items() if len(values) == entry.iteration}
    if not known:
        return []
    return [
        (iteration, {name: values[iteration - 1] for name, values in known.items()})
        for iteration in range(1, entry.iteration + 1)
    ]


def _by_checkpoint(newest: CheckpointEntry, checkpoints: Sequence[Checkpoint]) -> Sequence[Row]:
    """Of the present run of a phase."""
    return [
        (each.iteration, each.metrics)
        for each in checkpoints
        if each.phase == newest.phase and newest.run <= each.number and each.metrics
    ]
