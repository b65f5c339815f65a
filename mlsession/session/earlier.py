"""Going back to an earlier checkpoint of a session, to look at it."""

from __future__ import annotations

from mlsession.errors import DamagedData, NoUsableCheckpoint
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Kind
from mlsession.session.log.timeline import Timeline
from mlsession.session.opening import require_session
from mlsession.session.past import StoredPast
from mlsession.store.protocol import Store


def past_at(store: Store, known: Timeline, number: int) -> StoredPast:
    """What was committed as of one checkpoint of a session that stood at `known` a while ago.

    Raises `NoUsableCheckpoint` if it is none of this session's, or was removed.
    """
    state = Journal(store).load(number) if number >= 0 else None
    if state is None or state.timeline.tip.number != number or state.timeline.tip.kind is not Kind.CHECKPOINT:
        raise NoUsableCheckpoint(f"{store.url} has no checkpoint {number}; `mlsession status` lists those it has")
    if not _is_live(store, known, number):
        raise NoUsableCheckpoint(
            f"checkpoint {number} of {store.url} was removed, or given up after damage; "
            "`mlsession checkpoints list` shows those that are left"
        )
    return StoredPast(store, state.timeline)


def _is_live(store: Store, known: Timeline, number: int) -> bool:
    # It may be newer than what is known.
    timeline = known if number <= known.tip.number else require_session(store).timeline
    if number in timeline.removed or any(entry.number == number for entry in timeline.recent):
        return number not in timeline.removed
    try:
        return any(entry.number == number for entry in Journal(store).checkpoints(timeline))
    except DamagedData:
        return True  # What could tell is damaged; the checkpoint itself may be whole.
