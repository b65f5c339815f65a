"""What the work of a job is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlsession.clock import Clock
from mlsession.events import Event
from mlsession.session.attempt import retry_teller
from mlsession.session.liveness import this_process
from mlsession.session.parameters import SessionParameters
from mlsession.session.stop import StopFlag
from mlsession.store.reading import ReadPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What the work of a job is given."""

    emit: Callable[[Event], None]
    clock: Clock
    stop: StopFlag = field(default_factory=StopFlag)
    """Left out for work outside a job, which nobody asks to stop."""

    def read_policy(self, parameters: SessionParameters, *, admitted: bool = False) -> ReadPolicy:
        """What readers of pictures bear with in this job: the patience that its session has, said in events.

        `admitted` for sources whose credentials have been taken before.
        """
        return ReadPolicy(
            clock=self.clock,
            read_timeout=parameters.read_timeout,
            backoff=parameters.backoff,
            on_retry=retry_teller(self.emit),
            heed=self.stop.check,
            caller=this_process().name,
            admitted=admitted,
        )
