"""What the work of a job is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlsession.clock import Clock
from mlsession.events import Event
from mlsession.session.stop import StopFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What the work of a job is given."""

    emit: Callable[[Event], None]
    stop: StopFlag
    clock: Clock
