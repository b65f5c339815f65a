"""Keeping to a session's rule for its checkpoints while it trains, a little at a time, between two saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mlsession.errors import DamagedData, MLSessionError, StoreError
from mlsession.events import CheckpointsRemoved, Event, RemovalFailed
from mlsession.session.identity import Identity
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.retention import Retention, is_removal_due, superseded
from mlsession.session.upkeep.removal import Remover
from mlsession.session.writer import SessionWriter
from mlsession.store.protocol import Store


class Upkeep(Protocol):
    """Work that a saver does when it has nothing to save, in the thread that its writer belongs to."""

    def committed(self, entry: CheckpointEntry) -> None:
        """Takes note of a new checkpoint."""
        ...

    def went_back(self) -> None:
        """Takes note that the writer stands at an earlier state."""
        ...

    def step(self, finish: bool = False) -> bool:
        """Does one small thing; False if there was nothing to do. `finish`: also what could wait for more."""
        ...


class NoUpkeep:
    """All checkpoints stay."""

    def committed(self, entry: CheckpointEntry) -> None:
        return

    def went_back(self) -> None:
        return

    def step(self, finish: bool = False) -> bool:
        return False


class Retainer:
    """Removes what the rule does not keep.

    Superseded checkpoints are removed in batches, so that a record is not written for each; a step writes one record
    or deletes a few keys. Where the store refuses to delete, or the list of checkpoints is damaged, that is said once,
    and all stays from then on.
    """

    def __init__(
        self, store: Store, writer: SessionWriter, retention: Retention, emit: Callable[[Event], None]
    ) -> None:
        self._writer = writer
        self._remover = Remover(store, writer)
        self._retention = retention
        self._emit = emit
        self._live: dict[int, CheckpointEntry] | None = None
        self._refused = False

    def committed(self, entry: CheckpointEntry) -> None:
        if self._live is not None:
            self._live[entry.number] = entry

    def went_back(self) -> None:
        self._live = None
        self._remover.forget_plan()

    def step(self, finish: bool = False) -> bool:
        """Raises `SessionTakenOver`, and `StoreError` if a record cannot be written."""
        if self._refused:
            return False
        try:
            has_work = self._remover.is_busy or self._plan(finish)
        except DamagedData as damage:
            return self._refuse(damage)  # It harms no training, so it does not end one.
        if not has_work and not (finish and self._remover.deletes_next):
            return False
        is_deletion = self._remover.deletes_next
        try:
            gone = self._remover.step()
        except StoreError as error:
            if not is_deletion:
                raise
            return self._refuse(error)
        live = self._live or {}
        for number in gone:
            live.pop(number, None)
        if gone:
            self._emit(CheckpointsRemoved(checkpoints=gone))
        return True

    def _refuse(self, error: MLSessionError) -> bool:
        self._refused = True
        self._emit(RemovalFailed(reason=str(error)))
        return False

    def _plan(self, finish: bool) -> bool:
        """Whether there is something to remove now."""
        if self._live is None:
            self._live = {entry.number: entry for entry in self._remover.live()}
        timeline, live = self._writer.timeline, tuple(self._live.values())
        phases = Identity.from_record(timeline.opened).phases
        waiting = superseded(live, timeline.newest, phases, self._retention)
        if not waiting or not (finish or is_removal_due(waiting)):
            return False
        self._remover.plan(live, {entry.number for entry in waiting})
        return True
