"""What a job looks like from outside: a pure fold of its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlsession.events import CheckpointCommitted, CheckpointsRemoved, Event, PhaseStarted, Progressed, SessionOpened
from mlsession.session.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the present phase has come."""

    phase: str
    elapsed: float
    """Seconds in this phase in this job."""
    iteration: int
    total: int | None
    item_count: int
    total_item_count: int | None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction_completed(self) -> float | None:
        """0 to 1, or None while nobody knows."""
        done, total = (
            (self.item_count, self.total_item_count) if self.total_item_count else (self.iteration, self.total)
        )
        return done / total if total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job's phase, progress and checkpoints."""

    phase: str = "initialized"
    progress: Progress | None = None
    checkpoints: tuple[Checkpoint, ...] = ()


def view_after(view: JobView, event: Event) -> JobView:
    """The view after one more event."""
    match event:
        case SessionOpened(phase=phase) | PhaseStarted(phase=phase):
            return replace(view, phase=phase)
        case Progressed():
            progress = Progress(
                phase=event.phase,
                elapsed=event.elapsed,
                iteration=event.iteration,
                total=event.total,
                item_count=event.item_count,
                total_item_count=event.total_items,
                metrics=event.metrics,
            )
            return replace(view, progress=progress)
        case CheckpointCommitted():
            return replace(view, checkpoints=(*view.checkpoints, _checkpoint(event, event.date)))
        case CheckpointsRemoved():
            gone = frozenset(event.checkpoints)
            return replace(view, checkpoints=tuple(item for item in view.checkpoints if item.number not in gone))
        case _:
            return view


def _checkpoint(event: CheckpointCommitted, date: datetime) -> Checkpoint:
    return Checkpoint(
        number=event.checkpoint,
        phase=event.phase,
        iteration=event.iteration,
        date=date,
        metrics=event.metrics,
        url=event.url,
    )
