"""Driving a task: ask its phases for steps; report, save and stop where the policy says.

while a phase is left:
    for step in runner.run(state):
        report if due
        save if due, in the background          (the phase waits for the copy only)
        stop if asked, after saving
    the phase's last step is always saved, and the next phase starts once that is durable
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mlsession.clock import Clock
from mlsession.errors import DamagedData, InternalError
from mlsession.events import (
    CheckpointCommitted,
    CheckpointSkipped,
    Event,
    ItemSkipped,
    JobStopping,
    PhaseFinished,
    PhaseStarted,
    Progressed,
)
from mlsession.session.checkpoint import checkpoint_of
from mlsession.session.cost import CostMeter
from mlsession.session.log.layout import record_of
from mlsession.session.past import StoredPast
from mlsession.session.phase import Step, Task
from mlsession.session.policy import Pace, SavePolicy, is_report_due, is_save_due, waits_for_store
from mlsession.session.retention import Retention
from mlsession.session.saver import Saved, Saver
from mlsession.session.standing import Standing, stand
from mlsession.session.stop import StopFlag, StopRequest
from mlsession.session.turn import Turn
from mlsession.session.upkeep.integrity import to_pass_over
from mlsession.session.writer import SessionWriter
from mlsession.store.protocol import Store

T = TypeVar("T")
HELD_BYTES = 32 * 2**20
"""What a save works on is in memory some four times: as rows, joined, as it is stored, and as it was read back."""
_LOOK_SECONDS = 0.5
"""How often a phase that waits for the store looks whether it was asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """When to report and save, and how long a stop may take."""

    policy: SavePolicy
    report_interval: int
    grace_seconds: float
    retention: Retention = field(default_factory=Retention)
    """Which checkpoints stay."""
    held_bytes: int = HELD_BYTES
    """Additive output that is not saved yet is held up to this many bytes (and a step), and as much while it is being
    saved; where both are full, the phase waits for the store."""


class Driver(Generic[T]):
    """Runs what is left of a task on an opened session, in the calling thread."""

    def __init__(
        self,
        task: Task[T],
        writer: SessionWriter,
        saver: Saver,
        reader: Store,
        options: DriveOptions,
        stop: StopFlag,
        emit: Callable[[Event], None],
        clock: Clock,
        meter: CostMeter | None = None,
    ) -> None:
        self._task = task
        self._writer = writer
        self._saver = saver
        self._reader = reader
        self._options = options
        self._stop = stop
        self._emit = emit
        self._clock = clock
        self._meter = meter or CostMeter()
        self._began = clock.monotonic()
        self._save_seconds: float | None = None
        self._save_bytes = 0
        self._copy_seconds = 0.0
        self._read_again: set[str] = set()
        self._is_stopping = False

    @property
    def past(self) -> StoredPast:
        """What is committed. Only to be read while no save is in flight."""
        return StoredPast(self._reader, self._writer.timeline)

    def run(self) -> T:
        """The task's result, once every phase is complete and committed.

        A damaged checkpoint is passed over, and the work since the one before it is done again. Raises `Cancelled`
        or `Interrupted` after saving, when asked to stop; whatever a phase or the store raises.
        """
        ended = ""
        while True:
            try:
                standing = self._standing()
                if standing.phase is None:
                    return self._task.result(self.past)
                if standing.phase == ended and standing.entry is not None and standing.entry.ended:
                    raise InternalError(f"phase {ended} has ended, and its task says that it is not complete")
                self._stop.check()
                self._run_phase(standing.phase, standing)
                ended = standing.phase
            except DamagedData as damage:
                self._pass_over(damage)
                ended = ""

    def _standing(self) -> Standing:
        past = self.past
        return stand(
            self._task.phases,
            self._writer.timeline.newest,
            self._task.inputs,
            lambda entry: self._task.is_complete(entry.phase, past.state(entry.phase)),
        )

    def _run_phase(self, phase: str, standing: Standing) -> None:
        entry = standing.entry
        self._emit(PhaseStarted(phase=phase, iteration=entry.iteration if entry else 0))
        past = self.past
        state = past.state(phase) if entry else None
        turn = Turn(phase=phase, fresh=entry is None, inputs=self._task.inputs(phase), began=self._clock.monotonic())
        steps = self._task.runner(phase, past).run(state)
        try:
            for step in steps:
                turn.end_step(self._clock.monotonic())
                self._report(turn, step)
                self._save(turn, step)
                if step.last:
                    self._emit(PhaseFinished(phase=phase, iteration=step.iteration, metrics=step.metrics))
                    return
        finally:
            if isinstance(steps, Generator):
                steps.close()  # Frees the threads and files of a phase that is left half-way.
        raise InternalError(f"phase {phase} ended without a last step")

    def _report(self, turn: Turn, step: Step) -> None:
        for notice in step.notices:
            self._emit(ItemSkipped(phase=turn.phase, item=notice.item, reason=notice.text))
        if step.last or is_report_due(self._options.report_interval, step.iteration):
            self._emit(
                Progressed(
                    phase=turn.phase,
                    iteration=step.iteration,
                    total=step.total,
                    item_count=step.iteration if step.item_count is None else step.item_count,
                    total_items=step.total if step.item_count is None else step.total_items,
                    elapsed=self._clock.monotonic() - turn.began,
                    metrics=step.metrics,
                )
            )

    def _save(self, turn: Turn, step: Step) -> None:
        began = self._clock.monotonic()
        try:
            self._save_if_due(turn, step)
        finally:
            now = self._clock.monotonic()
            self._meter.worked(now - self._began, now - began)
            turn.begin_step(now)

    def _save_if_due(self, turn: Turn, step: Step) -> None:
        self._committed(self._saver.poll())
        turn.hold(step.adds)
        is_due = step.urgent or turn.held_bytes > self._options.held_bytes or self._is_due(turn, step)
        if is_due:
            self._wait()  # For the save before; a stop may be asked for meanwhile.
        asked = self._heed_stop()
        must_wait = step.last or asked is not None
        if must_wait:
            self._wait()
        if must_wait or is_due:
            self._submit(turn, step)
        if must_wait:
            self._wait()
        if asked is not None and not step.last:
            raise asked.error()

    def _is_due(self, turn: Turn, step: Step) -> bool:
        pace = Pace(
            iteration=step.iteration,
            seconds=self._clock.monotonic() - turn.last_save,
            step_seconds=turn.longest_step,
            save_seconds=self._save_seconds,
            growth=turn.held_bytes / self._save_bytes if self._save_bytes else 1.0,
            remaining=turn.seconds_left(step, self._clock.monotonic()),
        )
        policy = self._options.policy
        may_save = waits_for_store(policy) or not self._saver.is_busy
        return may_save and is_save_due(policy, pace)

    def _submit(self, turn: Turn, step: Step) -> None:
        began = self._clock.monotonic()
        stage = turn.stage(step, began)
        copied = self._clock.monotonic() - began
        self._committed(self._saver.submit(stage))  # The save before this one, and its own copy.
        self._copy_seconds = copied

    def _wait(self) -> None:
        """Waits until no save is in flight; once a stop is asked for, only for the grace time, and then raises that."""
        while True:
            asked = self._heed_stop()
            left = self._seconds_left()
            self._committed(self._saver.wait(timeout=_LOOK_SECONDS if left is None else left))
            if not self._saver.is_busy:
                self._committed(self._saver.poll())
                return
            if asked is not None:
                raise asked.error()

    def _seconds_left(self) -> float | None:
        return self._stop.seconds_left(self._options.grace_seconds, self._clock)

    def _heed_stop(self) -> StopRequest | None:
        """What the job was asked, if it was; says so once."""
        asked = self._stop.request
        if asked is not None and not self._is_stopping:
            self._is_stopping = True
            self._emit(JobStopping(reason=asked.reason))
        return asked

    def _committed(self, saved: Saved | None) -> None:
        if saved is None:
            return
        self._save_seconds, self._save_bytes = self._copy_seconds + saved.seconds, saved.size_bytes
        entry = saved.entry
        self._emit(
            CheckpointCommitted(
                checkpoint=entry.number,
                phase=entry.phase,
                iteration=entry.iteration,
                url=checkpoint_of(entry, self._reader.url).url,
                seconds=saved.seconds,
                size_bytes=saved.size_bytes,
                metrics=entry.metrics,
            )
        )

    def _pass_over(self, damage: DamagedData) -> None:
        """Goes back to before the record that committed what is damaged, the second time that it looks so.

        Raises it if none of this session did.
        """
        self._wait()
        found = to_pass_over(damage, self._writer.timeline, self._reader)
        number = None if found is None else record_of(found.key)
        if found is None or number is None:
            raise damage
        if found.key not in self._read_again:
            self._read_again.add(found.key)
            return  # It may have been damaged on its way here.
        self._emit(CheckpointSkipped(checkpoint=number, key=found.key, reason=found.reason))
        if not self._saver.step_back(number, self._seconds_left):
            self._stop.check()
