"""The figures of each iteration that a session has committed, for runs that lack some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TypeAlias

from mlsession.session.log.records import CheckpointEntry
from mlsession.session.parameters import SessionParameters
from mlsession.session.policy import is_report_due
from mlsession.session.session import TrainingSession, history_of
from mlsession.store.protocol import Store

EarlierFigures: TypeAlias = "Mapping[str, Sequence[tuple[int, Mapping[str, float]]]]"
"""By phase the iterations, ascending, each with its metrics by name."""


def earlier_figures(open_store: Callable[[], Store], parameters: SessionParameters) -> EarlierFigures:
    """Of phases that keep a history, the iterations that are reported at this interval; of others their end.

    Only reads. Raises `StoreError`, `DamagedData`.
    """
    with closing(TrainingSession(open_store, parameters)) as session:
        newest = session.timeline.newest
        # Of a phase without metrics there is no history either, and its state may be large.
        states = {phase: session.past.state(phase) for phase, entry in newest.items() if entry.metrics}
    return {phase: _rows(newest[phase], history_of(state), parameters) for phase, state in states.items()}


def _rows(
    entry: CheckpointEntry, history: Mapping[str, Sequence[float]], parameters: SessionParameters
) -> Sequence[tuple[int, Mapping[str, float]]]:
    known = {name: values for name, values in history.items() if len(values) == entry.iteration}
    if not known:
        return [(entry.iteration, entry.metrics)] if entry.ended else []
    return [
        (iteration, {name: values[iteration - 1] for name, values in known.items()})
        for iteration in range(1, entry.iteration + 1)
        if is_report_due(parameters.report_interval, iteration) or (entry.ended and iteration == entry.iteration)
    ]
