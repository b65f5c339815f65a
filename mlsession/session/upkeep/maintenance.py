"""Work on a session that is not its task: what it needs, and removing checkpoints that somebody has chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from mlsession.clock import Clock
from mlsession.errors import MLSessionError, SessionTakenOver, StoreError
from mlsession.events import Event, HeartbeatMissed
from mlsession.session.checkpoint import Checkpoint, checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.records import Outcome
from mlsession.session.log.timeline import Timeline
from mlsession.session.opening import open_session, repeating, require_session
from mlsession.session.retention import removable
from mlsession.session.upkeep.removal import Remover, leftover_keys
from mlsession.session.watching.liveness import Heartbeat
from mlsession.session.writer import SessionWriter
from mlsession.store.bulk import delete_all
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """All that such work needs."""

    store: Store
    open_store: Callable[[], Store]
    """Gives the sign of life a handle of its own."""
    clock: Clock
    stale_after: float
    emit: Callable[[Event], None]

    @contextmanager
    def opened(self, known: LogState) -> Iterator[tuple[SessionWriter, LogState]]:
        """The session's writer meanwhile, and what it was opened on; `known` is what the caller has seen of it.

        It is left with the outcome that it had: one that was cut short by a crash counts as interrupted afterwards,
        too. Raises `SessionInUse` and what opening and closing raise.
        """
        options = repeating(known.timeline.opened, self.stale_after)
        writer, state = open_session(self.store, self.clock, options, self.emit, known)
        with _beating(self, writer), _closing_as(writer, state.timeline):
            yield writer, state


def remove_checkpoints(work: Maintenance, predicate: Callable[[Checkpoint], bool]) -> tuple[Checkpoint, ...]:
    """Removes the checkpoints that `predicate` chooses and that can go; returns these, oldest first.

    Writes nothing where nothing can go, but still deletes what an earlier removal could not. Raises `SessionInUse`,
    `SessionTakenOver`, `DamagedData` where neither index nor records list the checkpoints, and `StoreError`; the same
    call goes on after each of them.
    """
    store = work.store
    known = require_session(store)
    timeline = known.timeline
    chosen = _removable_choice(store, timeline, predicate)
    if not chosen:
        delete_all(store, leftover_keys(store, timeline))
        return ()
    with work.opened(known) as (writer, _):
        remover = Remover(store, writer)
        gone = remover.plan(remover.live(), chosen)
        while remover.is_busy:
            remover.step()
    return tuple(checkpoint_of(entry, store.url) for entry in gone)


def _removable_choice(store: Store, timeline: Timeline, predicate: Callable[[Checkpoint], bool]) -> frozenset[int]:
    """The numbers that `predicate` chooses, if any of them can go; the list, which may be long, is let go of."""
    live = Journal(store).checkpoints(timeline)
    chosen = frozenset(entry.number for entry in live if predicate(checkpoint_of(entry, store.url)))
    phases = Identity.from_record(timeline.opened).phases
    return chosen if removable(live, timeline.newest, phases, chosen) else frozenset()


@contextmanager
def _beating(work: Maintenance, writer: SessionWriter) -> Iterator[None]:
    """Such work ends by itself, so a request to stop is nothing to it."""
    heartbeat = Heartbeat(
        work.open_store(),
        lambda: writer.opening,
        work.clock,
        on_stop=lambda reason: None,
        on_missed=lambda reason: work.emit(HeartbeatMissed(reason=reason)),
    )
    with closing(heartbeat):
        yield


@contextmanager
def _closing_as(writer: SessionWriter, before: Timeline) -> Iterator[None]:
    """Closes with the outcome that the session had, so that the work does not change what it is."""
    body = {"outcome": Outcome.INTERRUPTED.value, "reason": ""} if before.closed is None else before.closed.body
    outcome, reason = Outcome(str(body["outcome"])), str(body.get("reason", ""))
    try:
        yield
    except (SessionTakenOver, StoreError):
        raise  # The session is not ours any more, or cannot be reached.
    except BaseException as error:
        try:
            writer.close(outcome, reason)
        except MLSessionError as second:
            error.add_note(f"recording the outcome {outcome.value!r} in the session failed, too: {second}")
        raise
    else:
        writer.close(outcome, reason)
