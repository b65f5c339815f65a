"""What the work of a job is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlsession.clock import Clock
from mlsession.events import Event
from mlsession.session.stop import StopFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What the work of a job is given."""

    emit: Callable[[Event], None]
    clock: Clock
    stop: StopFlag = field(default_factory=StopFlag)
    """Left out for work outside a job, which nobody asks to stop."""
