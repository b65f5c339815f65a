"""What the work of a job is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mlsession.clock import Clock
from mlsession.events import Event
from mlsession.session.attempt import retry_teller
from mlsession.session.parameters import SessionParameters
from mlsession.session.stop import StopFlag
from mlsession.session.watching.liveness import this_process
from mlsession.store.reading import ReadPolicy

if TYPE_CHECKING:
    from mlsession.job.callbacks import Callback


class Attend(Protocol):
    """Lets a callback of the work's own follow the job, from its first event on."""

    def __call__(self, callback: Callback, patience: Callable[[], float], on_late: Callable[[], None]) -> None:
        """`patience`: seconds that it may take once the work is over; then it is left behind, and `on_late` called.

        It has a thread of its own, so that it holds up no other callback.
        """
        ...


def _attend_nobody(callback: Callback, patience: Callable[[], float], on_late: Callable[[], None]) -> None:
    """Outside a job there are no events to follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What the work of a job is given."""

    emit: Callable[[Event], None]
    clock: Clock
    stop: StopFlag = field(default_factory=StopFlag)
    """Left out for work outside a job, which nobody asks to stop."""
    attend: Attend = _attend_nobody

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
