"""What a session is doing, derived from facts: never stored."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from mlsession.session.cost import SavingCost
from mlsession.session.log.records import Kind, Outcome
from mlsession.session.log.timeline import Timeline
from mlsession.session.watching.beat import Beat
from mlsession.session.watching.liveness import ProcessIdentity, is_known_dead, read_beat, start_time_of, this_process
from mlsession.store.protocol import Store


class Status(StrEnum):
    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"


_OF_OUTCOME = {
    Outcome.FINISHED: Status.FINISHED,
    Outcome.PAUSED: Status.PAUSED,
    Outcome.INTERRUPTED: Status.INTERRUPTED,
    Outcome.FAILED: Status.FAILED,
}


def derive_status(timeline: Timeline, heartbeat_age: float | None, is_dead: bool, stale_after: float) -> Status:
    """The status; `heartbeat_age` is in seconds by the wall clocks of two machines, good enough for display only."""
    if timeline.opened.kind is Kind.CREATED:
        return Status.NEW
    if timeline.closed is not None:
        return _OF_OUTCOME[Outcome(str(timeline.closed.body.get("outcome")))]
    is_fresh = heartbeat_age is not None and heartbeat_age < stale_after
    return Status.RUNNING if is_fresh and not is_dead else Status.INTERRUPTED


def read_status(store: Store, timeline: Timeline, now: datetime, stale_after: float = 20.0) -> Status:
    """Looks at the heartbeat of the newest opening and derives the status. Only reads."""
    opened = timeline.opened
    age = heartbeat_age(store, opened.number, now)
    if age is None and opened.kind is Kind.OPENED:
        # The first beat comes a moment after the record: until then the record itself is the sign of life.
        age = (now - datetime.fromisoformat(opened.date)) / timedelta(seconds=1)
    process = ProcessIdentity.from_json(opened.body.get("process"))
    return derive_status(timeline, age, is_known_dead(process, this_process(), start_time_of), stale_after)


def read_saving(store: Store, timeline: Timeline) -> SavingCost | None:
    """What saving has cost in the newest opening, as far as it has said so: as it ended, or with a sign of life."""
    if timeline.closed is not None:
        return SavingCost.from_json(timeline.closed.body.get("saving"))
    beat = Beat.decode(read_beat(store, timeline.opened.number))
    return None if beat is None else beat.saving


def heartbeat_age(store: Store, opening: int, now: datetime) -> float | None:
    """Seconds since an opening's last sign of life, by wall clocks; None if there is none."""
    beat = Beat.decode(read_beat(store, opening))
    return None if beat is None else (now - beat.date) / timedelta(seconds=1)
