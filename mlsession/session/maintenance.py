"""Work on a session that is not its task: removing checkpoints that somebody has chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from mlsession.clock import Clock
from mlsession.errors import MLSessionError, SessionTakenOver, StoreError
from mlsession.events import Event, HeartbeatMissed
from mlsession.session.checkpoint import Checkpoint, checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.liveness import Heartbeat
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Outcome
from mlsession.session.log.timeline import Timeline
from mlsession.session.opening import open_session, repeating, require_session
from mlsession.session.removal import Remover, leftover_keys
from mlsession.session.retention import removable
from mlsession.session.writer import SessionWriter
from mlsession.store.protocol import Store


def remove_checkpoints(
    store: Store,
    open_store: Callable[[], Store],
    clock: Clock,
    stale_after: float,
    predicate: Callable[[Checkpoint], bool],
    emit: Callable[[Event], None],
) -> tuple[Checkpoint, ...]:
    """Removes the checkpoints that `predicate` chooses and that can go; returns these, oldest first.

    The session is opened for it, and left with the outcome that it had: one that was cut short by a crash counts as
    interrupted afterwards, too. `open_store` gives the sign of life a handle of its own. Writes nothing where nothing
    can go, but still deletes what an earlier removal could not. Raises `SessionInUse`, `SessionTakenOver`,
    `DamagedData` where neither index nor records list the checkpoints, and `StoreError`; the same call goes on after
    each of them.
    """
    known = require_session(store)
    timeline = known.timeline
    live = Journal(store).checkpoints(timeline)
    chosen = frozenset(entry.number for entry in live if predicate(checkpoint_of(entry, store.url)))
    if not removable(live, timeline.newest, Identity.from_record(timeline.opened).phases, chosen):
        for key in leftover_keys(store, timeline):
            store.delete(key)
        return ()
    writer, state = open_session(store, clock, repeating(timeline.opened, stale_after), emit, known)
    with _beating(open_store, writer, clock, emit), _closing_as(writer, state.timeline):
        remover = Remover(store, writer)
        gone = remover.plan(remover.live(), chosen)
        while remover.is_busy:
            remover.step()
    return tuple(checkpoint_of(entry, store.url) for entry in gone)


@contextmanager
def _beating(
    open_store: Callable[[], Store], writer: SessionWriter, clock: Clock, emit: Callable[[Event], None]
) -> Iterator[None]:
    """A removal ends by itself, so a request to stop is nothing to it."""
    heartbeat = Heartbeat(
        open_store(),
        lambda: writer.opening,
        clock,
        on_stop=lambda reason: None,
        on_missed=lambda reason: emit(HeartbeatMissed(reason=reason)),
    )
    with closing(heartbeat):
        yield


@contextmanager
def _closing_as(writer: SessionWriter, before: Timeline) -> Iterator[None]:
    """Closes with the outcome that the session had, so that removing checkpoints does not change what it is."""
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
