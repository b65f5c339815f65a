"""A session as callers see it: the durable state of one training, read from its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from mlsession.clock import Clock, SystemClock
from mlsession.errors import NoUsableCheckpoint
from mlsession.session.checkpoint import Checkpoint, checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal
from mlsession.session.log.pages import live_checkpoints
from mlsession.session.log.records import BlobRef, Kind
from mlsession.session.log.timeline import Timeline
from mlsession.session.opening import require_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import HISTORY_PREFIX, Json, PhaseState
from mlsession.session.status import Status, heartbeat_age, read_status
from mlsession.store.protocol import Store


class TrainingSession:
    """A picture of a session at one moment; `refresh()` takes a new one. Only reads, so it disturbs no writer.

    Raises `SessionNotFound` where there is none.
    """

    def __init__(
        self, open_store: Callable[[], Store], parameters: SessionParameters, clock: Clock | None = None
    ) -> None:
        self._open_store = open_store
        self._parameters = parameters
        self._clock = clock or SystemClock()
        self._store = open_store()
        try:
            self._state = require_session(self._store)
        except BaseException:
            self._store.close()
            raise

    @property
    def url(self) -> str:
        """Where the session lives."""
        return self._store.url

    @property
    def parameters(self) -> SessionParameters:
        """How it is to be run; `Classifier.resume` uses these."""
        return self._parameters

    @property
    def identity(self) -> Identity:
        """What the session is: task, parameters that matter, inputs, numerics id."""
        return Identity.from_record(self._state.timeline.opened)

    @property
    def settings(self) -> Mapping[str, Json]:
        """What the newest attempt was asked for and the next may change."""
        settings = self._state.timeline.opened.body.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def date(self) -> datetime:
        """When the newest record was written, UTC."""
        return datetime.fromisoformat(self._state.timeline.tip.date)

    @property
    def phase(self) -> str:
        """The phase of the newest checkpoint; `initialized` before the first."""
        commit = self._state.timeline.last_commit
        return commit.phase if commit else "initialized"

    @property
    def iteration(self) -> int:
        """The iteration, within its phase, of the newest checkpoint."""
        commit = self._state.timeline.last_commit
        return commit.iteration if commit else 0

    @property
    def status(self) -> Status:
        """Whether it is running, and if not, how it ended; looks at the heartbeat now."""
        return read_status(self._store, self._state.timeline, self._clock.now(), self._parameters.stale_after)

    @property
    def heartbeat_age(self) -> float | None:
        """Seconds since the newest attempt's last sign of life, by wall clocks: for display only. None without one."""
        return heartbeat_age(self._store, self._state.timeline.opened.number, self._clock.now())

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All checkpoints, oldest first."""
        entries = live_checkpoints(self._state.timeline, lambda ref: read_blob(self._store, ref))
        return tuple(checkpoint_of(entry, self.url) for entry in entries)

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics of training by iteration, such as `accuracy` and `validation_loss`; empty before training."""
        return history_of(self.past.state("training")) if "training" in self._state.timeline.newest else {}

    @property
    def timeline(self) -> Timeline:
        """The folded log; for code that reads sessions, such as `Classifier.from_checkpoint`."""
        return self._state.timeline

    @property
    def past(self) -> StoredPast:
        """What the phases have committed."""
        return StoredPast(self._store, self._state.timeline)

    def at_checkpoint(self, number: int) -> StoredPast:
        """What was committed as of one checkpoint. Raises `NoUsableCheckpoint` if it is none of this session's."""
        state = Journal(self._store).load(number) if number >= 0 else None
        if state is None or state.timeline.tip.number != number or state.timeline.tip.kind is not Kind.CHECKPOINT:
            raise NoUsableCheckpoint(f"{self.url} has no checkpoint {number}; `mlsession status` lists those it has")
        return StoredPast(self._store, state.timeline)

    def attachment(self, name: str) -> bytes:
        """A named input of the session, checked. Raises `KeyError` if it has none of that name."""
        opened = self._state.timeline.opened
        extra = opened.body.get("attachments")
        if isinstance(extra, dict) and name in extra:
            return read_blob(self._store, BlobRef.from_json(extra[name]))
        return read_blob(self._store, self.identity.attachments[name])

    def refresh(self) -> None:
        """Reads the log again."""
        self._state = require_session(self._store)

    def close(self) -> None:
        """Releases the store; idempotent."""
        self._store.close()

    def __enter__(self) -> TrainingSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TrainingSession({self.url!r}, {self.status.value}, phase={self.phase!r}, iteration={self.iteration})"


def history_of(state: PhaseState) -> dict[str, list[float]]:
    """The metrics by iteration in a state of training."""
    return {
        name.removeprefix(HISTORY_PREFIX): [float(value) for value in array]
        for name, array in state.arrays.items()
        if name.startswith(HISTORY_PREFIX)
    }
