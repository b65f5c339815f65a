"""A session as callers see it: the durable state of one training, read from its store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from mlsession.clock import Clock, SystemClock
from mlsession.events import Event
from mlsession.session.attempt import retry_teller
from mlsession.session.checkpoint import Checkpoint, checkpoint_of
from mlsession.session.cost import SavingCost
from mlsession.session.donor import accept_donor
from mlsession.session.earlier import past_at
from mlsession.session.identity import Identity, opened_attachments
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.records import BlobRef
from mlsession.session.log.timeline import Timeline
from mlsession.session.opening import require_session
from mlsession.session.page import session_html
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import HISTORY_PREFIX, Json, PhaseState, Task
from mlsession.session.retention import Retention, superseded
from mlsession.session.upkeep.garbage import Garbage, collect_garbage
from mlsession.session.upkeep.integrity import Repair, Verification
from mlsession.session.upkeep.maintenance import Maintenance, remove_checkpoints
from mlsession.session.upkeep.repair import repair_session
from mlsession.session.upkeep.verification import verify_session
from mlsession.session.watching.liveness import this_process
from mlsession.session.watching.status import Status, heartbeat_age, read_saving, read_status
from mlsession.store.protocol import Store
from mlsession.store.retrying import RetryingStore

_MOST_LOOKS = 3
"""How often a verification begins anew because a job has written meanwhile."""


class TrainingSession:
    """A picture of a session at one moment; `refresh()` takes a new one. Only reads, so it disturbs no writer.

    Raises `SessionNotFound` where there is none.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        parameters: SessionParameters,
        clock: Clock | None = None,
        known: LogState | None = None,
    ) -> None:
        """`known` is the picture itself, where somebody has taken it just now; None takes one."""
        self._open_store = open_store
        self._parameters = parameters
        self._clock = clock or SystemClock()
        self._store = open_store()
        try:
            self._state = known or require_session(self._store)
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
    def creation_date(self) -> datetime:
        """When the session was made, UTC; reads its first record. Raises `DamagedData` if that is damaged."""
        return datetime.fromisoformat(Journal(self._store).read(0).date)

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
    def saving_cost(self) -> SavingCost | None:
        """What saving has cost in the newest attempt; None where it has not said so. Reads a heartbeat if it runs."""
        return read_saving(self._store, self._state.timeline)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All checkpoints, oldest first."""
        entries = Journal(self._store).checkpoints(self._state.timeline)
        return tuple(checkpoint_of(entry, self.url) for entry in entries)

    @property
    def num_checkpoints(self) -> int:
        """How many checkpoints there are; asks for no list of them unless some were removed of late."""
        return Journal(self._store).count_checkpoints(self._state.timeline)

    @property
    def newest_checkpoint(self) -> Checkpoint | None:
        """The last of `checkpoints`, which are not listed for it; None if there are none."""
        timeline = self._state.timeline
        entry = timeline.recent[-1] if timeline.recent else timeline.last_commit
        return None if entry is None else checkpoint_of(entry, self.url)

    def superseded_checkpoints(
        self, keep_last: int | None = None, keep_best: int | None = None
    ) -> tuple[Checkpoint, ...]:
        """Those that training with such `SessionParameters` would not keep, oldest first."""
        retention = Retention(keep_last=keep_last, keep_best=keep_best)
        timeline = self._state.timeline
        live = Journal(self._store).checkpoints(timeline)
        gone = superseded(live, timeline.newest, self.identity.phases, retention)
        return tuple(checkpoint_of(entry, self.url) for entry in gone)

    def remove_checkpoints(
        self, predicate: Callable[[Checkpoint], bool], on_event: Callable[[Event], None] | None = None
    ) -> tuple[Checkpoint, ...]:
        """Removes the checkpoints that `predicate` chooses, to free space; returns what went, oldest first.

            session.remove_checkpoints(lambda checkpoint: checkpoint.iteration < 100)

        Some stay whatever it says: the newest of each phase, on which resuming rests, and what a checkpoint that
        stays rests on (an evaluation, on the training state that it measured). What was extracted stays as long as
        any checkpoint builds on it. The session remains what it is: a finished one still gives its result at once.

        `predicate` is asked about each checkpoint once, as the store has them now; `on_event` hears of waiting for an
        earlier writer and of retries. Raises `SessionInUse` while a job runs, and what `predicate` raises.
        """
        with self._maintaining(on_event) as work:
            return remove_checkpoints(work, predicate)

    def verify(self, deep: bool = False) -> Verification:
        """Looks at all that the checkpoints rest on, as they are now; only reads, and names what is damaged.

        Every record is read, and every other file must be there in its size; `deep` also reads and hashes all of it.
        """
        for _ in range(_MOST_LOOKS):
            self.refresh()
            found = verify_session(self._store, self._state, deep)
            if found.is_whole or require_session(self._store).timeline.tip == self._state.timeline.tip:
                break
            # A job that runs may have removed what we missed: look again.
        return found

    def repair(
        self,
        task: Task[Any] | None = None,
        on_event: Callable[[Event], None] | None = None,
        without_task: str = "nobody said how it is made",
    ) -> Repair:
        """Mends what is damaged, after a deep look: see `session.upkeep.repair`.

        `task` is that of the session; without one nothing is computed again, and `without_task` says why. Of image
        classification `Classifier.repair_training_session` knows the task. Raises `SessionInUse` while a job runs.
        """
        with self._maintaining(on_event) as work:
            return repair_session(work, task, without_task)

    def collect_garbage(self, dry_run: bool = False, on_event: Callable[[Event], None] | None = None) -> Garbage:
        """Deletes what nothing in the session needs any more, such as what a kill left; says what that was.

        With `dry_run` it only says it. Raises `SessionInUse` while a job runs, and `DamagedData` where damage may hide
        that something is needed: then nothing is deleted.
        """
        with self._maintaining(on_event) as work:
            return collect_garbage(work, dry_run)

    @contextmanager
    def _maintaining(self, on_event: Callable[[Event], None] | None) -> Iterator[Maintenance]:
        """What work on the session needs; afterwards this picture is a new one."""
        emit = on_event or (lambda event: None)
        backoff, stale_after = self._parameters.backoff, self._parameters.stale_after
        store = RetryingStore(self._open_store(), self._clock, backoff, retry_teller(emit), this_process().name)
        with closing(store):
            yield Maintenance(
                store=store, open_store=self._open_store, clock=self._clock, stale_after=stale_after, emit=emit
            )
        self.refresh()

    def reuse_extracted_features(self, donor: TrainingSession, on_event: Callable[[Event], None] | None = None) -> None:
        """Lets this session, which has no checkpoints yet, take over what another one has extracted.

            session.reuse_extracted_features(donor)
            job = Classifier.resume(session)

        Rows are matched by the contents of the images, so that the two need not have the same: what the donor has not
        is extracted. The rows are copied in, so deleting the donor later harms nothing; and should it be gone before
        this session extracts, that is only slower. Storage options of this session's parameters must reach the donor.
        Raises `UsageError` where this session has checkpoints or the donor has not finished extracting,
        `IncompatibleParameters` where the two extract otherwise, and `SessionInUse`.
        """
        emit = on_event or (lambda event: None)
        with closing(self._open_store()) as store:
            accept_donor(store, self._clock, self._parameters.stale_after, donor, emit)
        self.refresh()

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics of training by iteration, such as `accuracy` and `validation_loss`; empty before training."""
        return history_of(self.past.state("training")) if "training" in self._state.timeline.newest else {}

    @property
    def timeline(self) -> Timeline:
        """The folded log; for code that reads sessions, such as `Classifier.from_checkpoint`."""
        return self._state.timeline

    @property
    def state(self) -> LogState:
        """The same with where the log ends, for whoever writes on."""
        return self._state

    @property
    def past(self) -> StoredPast:
        """What the phases have committed."""
        return StoredPast(self._store, self._state.timeline)

    def at_checkpoint(self, number: int) -> StoredPast:
        """What was committed as of one checkpoint.

        Raises `NoUsableCheckpoint` if it is none of this session's, or was removed.
        """
        return past_at(self._store, self._state.timeline, number)

    @property
    def attachments(self) -> Mapping[str, BlobRef]:
        """The inputs that the newest opening brought besides those that the session was made with."""
        return opened_attachments(self._state.timeline.opened)

    def attachment(self, name: str) -> bytes:
        """A named input of the session, checked. Raises `KeyError` if it has none of that name."""
        return self.past.attachment(name)

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

    def _repr_html_(self) -> str:
        return session_html(self)

    def __repr__(self) -> str:
        return f"TrainingSession({self.url!r}, {self.status.value}, phase={self.phase!r}, iteration={self.iteration})"


def history_of(state: PhaseState) -> dict[str, list[float]]:
    """The metrics by iteration in a state of training."""
    return {
        name.removeprefix(HISTORY_PREFIX): [float(value) for value in array.reshape(-1)]
        for name, array in sorted(state.arrays.items())
        if name.startswith(HISTORY_PREFIX)
    }
