"""Session folders that the engine has written, for the tests of the document."""

from __future__ import annotations

from pathlib import Path

from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import Journal
from mlsession.session.log.pages import live_checkpoints
from mlsession.session.log.records import JsonObject, Kind, Record
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace
from mlsession.store.protocol import Store
from tests.session.attempts import Attempt, attempt_on
from tests.session.log.values import DATE
from tests.session.walk import Walk


def write_folder(space: MemorySpace, root: Path) -> Path:
    """The bytes of a store in memory as files: a long session is made in memory much faster than on a disk."""
    for key, value in space.values.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.data)
    return root


def on_folder(root: Path, interval: int = 1) -> Attempt:
    """An attempt on a session in a local folder."""
    attempt = attempt_on(MemorySpace(), interval)
    attempt.open_store = lambda: LocalStore(root)
    return attempt


def walked(root: Path, limit: int, interval: int = 1) -> Path:
    """The folder of a finished session."""
    space = MemorySpace()
    attempt_on(space, interval).walk(Walk(limit=limit))
    return write_folder(space, root)


def append(store: Store, kind: Kind, body: JsonObject) -> int:
    """Adds a record as its writer would, made by the library; returns its number."""
    state = Journal(store).load()
    assert state is not None
    number, timeline = state.end + 1, state.timeline
    record = Record(
        number=number,
        kind=kind,
        parent=timeline.tip.number,
        previous=state.end_digest,
        opening=number if kind is Kind.OPENED else timeline.opened.number,
        writer="by hand",
        session=timeline.tip.session,
        date=DATE,
        index=timeline.tip.index,
        body=body,
    )
    Journal(store).append(record)
    return number


def remove_checkpoints(root: Path, numbers: list[int]) -> int:
    """Opens a session, commits a removal, deletes the blobs that it names, and closes; the removal's number."""
    store = LocalStore(root)
    state = Journal(store).load()
    assert state is not None
    entries = live_checkpoints(state.timeline, lambda ref: read_blob(store, ref))
    keys = [entry.state.key for entry in entries if entry.number in numbers]
    append(store, Kind.OPENED, dict(state.timeline.opened.body))
    removal = append(store, Kind.REMOVED, {"checkpoints": list(numbers), "keys": list(keys)})
    for key in keys:
        store.delete(key)
    assert state.timeline.closed is not None
    append(store, Kind.CLOSED, dict(state.timeline.closed.body))
    return removal
