"""A session that is trained elsewhere, one record and one heartbeat at a time, as a test says."""

from __future__ import annotations

from mlsession.clock import Clock
from mlsession.events import PhaseStarted, Progressed
from mlsession.session.identity import Identity
from mlsession.session.log.layout import heartbeat_key, record_key
from mlsession.session.log.records import CheckpointEntry, Outcome, Record
from mlsession.session.opening import OpenOptions, create_session, open_session
from mlsession.session.phase import PhaseState
from mlsession.session.watching.beat import NewestReport
from mlsession.session.writer import SessionWriter, Stage
from mlsession.store.memory import MemorySpace, MemoryStore

PHASES = ("extracting", "training", "evaluating")


class Elsewhere:
    """Another process. What it does is done when the call returns."""

    def __init__(self, space: MemorySpace, clock: Clock) -> None:
        self.space = space
        self.store = MemoryStore(space)
        self._clock = clock
        self._writer: SessionWriter | None = None
        self._beats = 0
        create_session(self.store, clock, Identity(task="t", phases=PHASES), {}, lambda event: None)

    @property
    def writer(self) -> SessionWriter:
        assert self._writer is not None
        return self._writer

    def open(self) -> int:
        """A new writer begins, whoever wrote before; gives the number of the opening."""
        options = OpenOptions(take_over=True)
        self._writer, _ = open_session(self.store, self._clock, options, lambda event: None)
        self._beats = 0
        return self.writer.opening

    def commit(self, phase: str, iteration: int, *, fresh: bool = False, ended: bool = False) -> CheckpointEntry:
        """A checkpoint; its metrics tell the iteration."""
        stage = Stage(
            phase=phase,
            iteration=iteration,
            item_count=16 * iteration,
            metrics={"loss": 1 / iteration},
            state=PhaseState(),
            adds=(),
            fresh=fresh,
            ended=ended,
            inputs="",
        )
        return self.writer.commit(stage)[0]

    def beat(self, phase: str = "", iteration: int = 0, begun: int = 0) -> None:
        """A sign of life; with a phase, one that tells of it, and with an iteration, of progress."""
        report = NewestReport()
        if phase:
            report.hear(PhaseStarted(phase=phase, iteration=begun))
        if iteration:
            report.hear(progress(phase, iteration))
        self._beats += 1
        beat = report.beat(self._beats, self._clock.now(), 1)
        self.store.put(heartbeat_key(self.writer.opening), beat.encode())

    def close(self, outcome: Outcome, reason: str = "") -> None:
        self.writer.close(outcome, reason)

    def record(self, number: int) -> Record:
        return Record.decode(self.store.get(record_key(number)), number)


def progress(phase: str, iteration: int) -> Progressed:
    """What a beat tells of a phase of 100 iterations of 16 items."""
    return Progressed(
        phase=phase,
        iteration=iteration,
        total=100,
        item_count=16 * iteration,
        total_items=1_600,
        elapsed=float(iteration),
        metrics={"loss": 1 / iteration},
    )
