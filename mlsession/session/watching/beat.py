"""What a heartbeat says: that its writer is alive and, for whoever watches from elsewhere, how far it has come.

Best effort and for display: nothing is decided by it but whether it changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlsession.errors import DamagedData, InternalError
from mlsession.events import Event, PhaseStarted, Progressed
from mlsession.session.cost import CostMeter, SavingCost
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.members import as_integer, as_number, as_object, as_text
from mlsession.session.log.records import JsonObject
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One sign of life."""

    beat: int
    """Counts from 1 in each opening's process."""
    date: datetime
    pid: int
    started: PhaseStarted | None = None
    """The phase that the job is in; None before the first."""
    progress: Progressed | None = None
    """The newest report of that phase; None before its first."""
    saving: SavingCost | None = None
    """What saving has cost by now; None before there was work."""

    def encode(self) -> bytes:
        """The bytes to store."""
        life: JsonObject = {"beat": self.beat, "date": self.date.isoformat(), "pid": self.pid}
        try:
            return canonical_json({**life, **_told(self.started, self.progress, self.saving)})
        except (InternalError, TypeError, ValueError):
            # What cannot be stored ends the job when it is committed; until then the sign of life must go on.
            return canonical_json(life)

    @staticmethod
    def decode(data: bytes) -> Beat | None:
        """What some bytes say, as far as they can be read; None where they are no heartbeat at all."""
        try:
            values = parse_object(data, "heartbeat")
            date = datetime.fromisoformat(as_text(values["date"]))
            beat, pid = as_integer(values["beat"]), as_integer(values["pid"])
        except (DamagedData, KeyError, ValueError):
            return None
        if date.tzinfo is None:
            return None
        try:
            started = _started(values.get("started"), date)
            progress = _progress(values.get("progress"), date)
        except (KeyError, ValueError):
            started = progress = None
        return Beat(
            beat=beat,
            date=date,
            pid=pid,
            started=started,
            progress=progress if started and progress and progress.phase == started.phase else None,
            saving=SavingCost.from_json(values.get("saving")),
        )


class NewestReport:
    """The phase that a job is in, and its newest progress; kept for the heartbeat.

    The job's thread sets it and the heartbeat's reads it: one assignment each, so that neither waits.
    """

    def __init__(self, meter: CostMeter | None = None) -> None:
        self._meter = meter or CostMeter()
        self._value: tuple[PhaseStarted | None, Progressed | None] = (None, None)

    def hear(self, event: Event) -> None:
        """Takes note of an event; of most there is nothing to note."""
        match event:
            case PhaseStarted():
                self._value = (event, None)
            case Progressed():
                self._value = (self._value[0], event)
            case _:
                return

    def beat(self, number: int, date: datetime, pid: int) -> Beat:
        """A sign of life that tells it."""
        started, progress = self._value
        return Beat(beat=number, date=date, pid=pid, started=started, progress=progress, saving=self._meter.cost)


def _told(started: PhaseStarted | None, progress: Progressed | None, saving: SavingCost | None) -> JsonObject:
    told: JsonObject = {}
    if saving is not None:
        told["saving"] = saving.to_json()
    if started is not None:
        told["started"] = {"phase": started.phase, "iteration": started.iteration}
    if progress is not None:
        told["progress"] = {
            "phase": progress.phase,
            "iteration": progress.iteration,
            "total": progress.total,
            "item_count": progress.item_count,
            "total_items": progress.total_items,
            "elapsed": float(progress.elapsed),
            "metrics": {name: float(value) for name, value in progress.metrics.items()},
        }
    return told


def _started(value: Json, date: datetime) -> PhaseStarted | None:
    if value is None:
        return None
    item = as_object(value)
    return PhaseStarted(phase=as_text(item["phase"]), iteration=as_integer(item["iteration"]), date=date)


def _progress(value: Json, date: datetime) -> Progressed | None:
    if value is None:
        return None
    item = as_object(value)
    return Progressed(
        phase=as_text(item["phase"]),
        iteration=as_integer(item["iteration"]),
        total=None if item["total"] is None else as_integer(item["total"]),
        item_count=as_integer(item["item_count"]),
        total_items=None if item["total_items"] is None else as_integer(item["total_items"]),
        elapsed=as_number(item["elapsed"]),
        metrics={name: as_number(number) for name, number in as_object(item["metrics"]).items()},
        date=date,
    )
