"""Creating a session, and becoming its one writer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mlsession.clock import Clock
from mlsession.errors import ForeignFiles, SessionInUse, SessionNotFound, SessionTakenOver
from mlsession.events import Event, SessionCreated, SessionOpened, Unprotected, WaitingForWriter
from mlsession.session.identity import Identity
from mlsession.session.liveness import ProcessIdentity, is_beating, is_known_dead, start_time_of, this_process
from mlsession.session.log.blobs import write_blob
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import is_ours
from mlsession.session.log.records import BlobRef, JsonObject, Kind, Record
from mlsession.session.phase import Json
from mlsession.session.stop import StopFlag
from mlsession.session.writer import SessionWriter
from mlsession.store.probe import probe_exclusive
from mlsession.store.protocol import Store

Emit = Callable[[Event], None]
_MOST_TRIES = 20
"""Openers that keep losing the race for the next record give up after this many rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to become the writer."""

    stale_after: float = 20.0
    take_over: bool = False
    settings: JsonObject = field(default_factory=dict)
    """What this attempt was asked for and may change freely; stored for whoever restores from the store alone."""
    attachments: Mapping[str, BlobRef] = field(default_factory=dict)
    """Named inputs of this attempt, such as the index of the test data."""


def repeating(opened: Record, stale_after: float) -> OpenOptions:
    """How to open a session for something else than its task: what its newest attempt was asked for stays so."""
    settings = opened.body.get("settings")
    return OpenOptions(
        stale_after=stale_after,
        settings=settings if isinstance(settings, dict) else {},
        attachments=opened_attachments(opened),
    )


def opened_attachments(opened: Record) -> dict[str, BlobRef]:
    """The inputs that an `opened` record brings; none of `created`, whose inputs are part of what the session is."""
    attachments = opened.body.get("attachments")
    return {name: BlobRef.from_json(ref) for name, ref in attachments.items()} if isinstance(attachments, dict) else {}


def find_session(store: Store) -> LogState | None:
    """The session under the store's root, or None where one may be created.

    Raises `ForeignFiles` if the folder holds something else, and `DamagedData` or `NewerFormat` for a session that
    cannot be read. Only reads.
    """
    state = Journal(store).load()
    if state is None:
        foreign = next((entry.key for entry in store.list() if not is_ours(entry.key)), None)
        if foreign is not None:
            raise ForeignFiles(
                f"{store.url} holds {foreign}, which is not part of a session, and no session; "
                "choose an empty or a new folder for the session (nothing was touched)"
            )
    return state


def require_session(store: Store) -> LogState:
    """The session under the store's root. Raises `SessionNotFound` where there is none."""
    state = find_session(store)
    if state is None:
        raise SessionNotFound(
            f"there is no session at {store.url}; check the path, or start one with `mlsession train`"
        )
    return state


def create_session(
    store: Store,
    clock: Clock,
    identity: Identity,
    attachments: Mapping[str, bytes],
    emit: Emit,
    settings: Mapping[str, Json] | None = None,
) -> LogState:
    """Writes record 0; of several creators one wins, and all get the winner's session.

    `attachments` are stored under their hash, before the record that names them.
    """
    writer_id = uuid.uuid4().hex
    exclusive = probe_exclusive(store, writer_id)
    refs = {name: attach(store, data) for name, data in attachments.items()}
    record = Record(
        number=0,
        kind=Kind.CREATED,
        parent=None,
        previous="",
        opening=0,
        writer=writer_id,
        session=writer_id,
        date=clock.now().isoformat(),
        body={
            "identity": replace(identity, attachments=refs, exclusive=exclusive).to_json(),
            "settings": dict(settings or {}),
        },
    )
    try:
        Journal(store).append(record)
        emit(SessionCreated(url=store.url))
    except SessionTakenOver:
        pass  # Another creator was first: its session is the session, and the caller compares parameters.
    return require_session(store)


def attach(store: Store, data: bytes) -> BlobRef:
    """Stores an input of the session under its hash; the same bytes always get the same key."""
    return write_blob(store, 0, 0, data)


def open_session(
    store: Store,
    clock: Clock,
    options: OpenOptions,
    emit: Emit,
    known: LogState | None = None,
    stop: StopFlag | None = None,
) -> tuple[SessionWriter, LogState]:
    """Becomes the one writer: waits for or refuses a living one, then commits `opened`.

    Raises `SessionInUse`, `SessionNotFound`, `NewerFormat`, `DamagedData`; asked to stop while it waits for an earlier
    writer, `Cancelled` or `Interrupted`, before that one is fenced out.
    """
    stop = stop or StopFlag()
    writer_id, us = uuid.uuid4().hex, this_process()
    for _ in range(_MOST_TRIES):
        state = known or require_session(store)
        known = None  # If it was out of date, `opened` fails, and the next round looks again.
        _check_writer(store, state, us, clock, options, emit, stop)
        identity = Identity.from_record(state.timeline.opened)
        writer = SessionWriter(store, clock, state, writer_id)
        try:
            writer.open(
                {
                    # As it is stored, with members that only a later version knows.
                    "identity": state.timeline.opened.body["identity"],
                    "process": us.to_json(),
                    "settings": options.settings,
                    "attachments": {name: ref.to_json() for name, ref in options.attachments.items()},
                }
            )
        except SessionTakenOver:
            continue  # Somebody else opened it between our look and our record: look again.
        if not (identity.exclusive and getattr(store, "creates_exclusively", True)):
            emit(Unprotected(url=store.url))
        commit = state.timeline.last_commit
        emit(
            SessionOpened(
                url=store.url,
                phase=commit.phase if commit else "initialized",
                iteration=commit.iteration if commit else 0,
            )
        )
        return writer, state
    raise _in_use(store, state)


def _check_writer(
    store: Store,
    state: LogState,
    us: ProcessIdentity,
    clock: Clock,
    options: OpenOptions,
    emit: Emit,
    stop: StopFlag,
) -> None:
    timeline = state.timeline
    if timeline.opened.kind is Kind.CREATED or timeline.closed is not None or options.take_over:
        return
    process = ProcessIdentity.from_json(timeline.opened.body.get("process"))
    if is_known_dead(process, us, start_time_of):
        return
    emit(WaitingForWriter(host=process.host, pid=process.pid, seconds=options.stale_after))
    if is_beating(store, timeline.opened.number, clock, options.stale_after, stop):
        raise _in_use(store, state)


def _in_use(store: Store, state: LogState) -> SessionInUse:
    process = ProcessIdentity.from_json(state.timeline.opened.body.get("process"))
    return SessionInUse(store.url, process.host, process.pid, state.timeline.opened.date)
