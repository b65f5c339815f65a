"""Creating a session, and becoming its one writer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mlsession.clock import Clock
from mlsession.errors import DamagedData, ForeignFiles, KeyMissing, SessionInUse, SessionNotFound, SessionTakenOver
from mlsession.events import Event, SessionCreated, SessionOpened, Unprotected, WaitingForWriter
from mlsession.session.identity import Identity, opened_attachments
from mlsession.session.log.blobs import read_blob, write_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal, LogState
from mlsession.session.log.layout import blob_key, is_ours, opening_of, record_key, record_number
from mlsession.session.log.reading import stored_bytes
from mlsession.session.log.records import BlobRef, JsonObject, Kind, Outcome, Record
from mlsession.session.log.timeline import advance
from mlsession.session.phase import Json
from mlsession.session.stop import StopFlag
from mlsession.session.watching.liveness import (
    ProcessIdentity,
    Sign,
    is_known_dead,
    start_time_of,
    this_process,
    watch_writer,
)
from mlsession.session.writer import SessionWriter
from mlsession.store.probe import probe_exclusive
from mlsession.store.protocol import Store

Emit = Callable[[Event], None]
_MOST_TRIES = 20
"""Openers that keep losing the race for the next record give up after this many rounds."""
_MOST_NEW = 64
"""Records that an opener that lost a race reads one by one; where there are more, it looks at the whole log again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to become the writer."""

    stale_after: float = 20.0
    take_over: bool = False
    may_take_over: bool = True
    """Whether whoever is told that the session is in use could ask for that instead."""
    settings: JsonObject = field(default_factory=dict)
    """What this attempt was asked for and may change freely; stored for whoever restores from the store alone."""
    attachments: Mapping[str, BlobRef] = field(default_factory=dict)
    """Named inputs of this attempt, such as the index of the test data."""


def repeating(opened: Record, stale_after: float) -> OpenOptions:
    """How to open a session for something else than its task: what its newest attempt was asked for stays so."""
    settings = opened.body.get("settings")
    return OpenOptions(
        stale_after=stale_after,
        may_take_over=False,
        settings=settings if isinstance(settings, dict) else {},
        attachments=opened_attachments(opened),
    )


def find_session(store: Store) -> LogState | None:
    """The session under the store's root, or None where one may be created.

    That is also where a kill cut the very first records short, on a store that tears: nothing had been saved yet.
    Raises `ForeignFiles` if the folder holds something else, and `DamagedData` or `NewerFormat` for a session that
    cannot be read. Only reads.
    """
    try:
        state = Journal(store).load()
    except DamagedData:
        if not _is_cut_short(store):
            raise
        state = None
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
        record = _append_first(store, record)
        emit(SessionCreated(url=store.url))
    except SessionTakenOver:
        pass  # Another creator was first: its session is the session, and the caller compares parameters.
    else:
        if record.kind is Kind.OPENED:  # Nobody has it open: the next opener need not wait for a heartbeat.
            reason = f"the first attempt to create it was cut short, in {record_key(0)}"
            SessionWriter(store, clock, require_session(store), writer_id).close(Outcome.INTERRUPTED, reason)
    return require_session(store)


def _append_first(store: Store, created: Record) -> Record:
    """Commits `created`, and returns it; where kills left its number half-written, an `opened` record in its place.

    That says what the session is as well, and takes the first number that is free: no number is ever written again.
    """
    record, journal = created, Journal(store)
    while True:
        try:
            return journal.append(record)
        except SessionTakenOver:
            if _is_readable(store, record.number) or not _is_cut_short(store):
                raise
        number = record.number + 1
        record = replace(
            created,
            kind=Kind.OPENED,
            number=number,
            parent=0,
            previous=sha256(stored_bytes(store, record.number)),
            opening=number,
            body={**created.body, "attachments": {}, "process": this_process().to_json()},
        )


def _is_cut_short(store: Store) -> bool:
    """Whether all that there is of a session are its first records, none of which can be read, and no saved state."""
    keys = [entry.key for entry in store.list()]
    numbers = sorted(number for key in keys if (number := record_number(key)) is not None)
    has_saved = any(opening_of(key) for key in keys)  # What a session is created with lies under opening 0.
    return numbers == list(range(len(numbers))) and not has_saved and not any(_is_readable(store, n) for n in numbers)


def _is_readable(store: Store, number: int) -> bool:
    try:
        Record.decode(stored_bytes(store, number), number)
    except (DamagedData, KeyMissing):
        return False
    return True


def attach(store: Store, data: bytes) -> BlobRef:
    """Stores an input of the session under its hash; the same bytes always get the same key.

    What is there already is not written again: a finished session gives its result from a disk that is full, too.
    """
    digest = sha256(data)
    ref = BlobRef(key=blob_key(0, 0, digest), size=len(data), sha256=digest)
    try:
        read_blob(store, ref)
    except DamagedData:
        return write_blob(store, 0, 0, data)
    return ref


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
    state = known or require_session(store)  # If it is out of date, `opened` fails.
    for _ in range(_MOST_TRIES):
        state = _left_by_others(store, state, us, clock, options, emit, stop)
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
            # Somebody else wrote a record between our look and ours. One who commits without a pause would win again
            # and again if we read the whole log each time, so only what is new is read.
            state = _caught_up(store, state)
            continue
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
    raise _in_use(store, state, options)


def _caught_up(store: Store, state: LogState) -> LogState:
    """The session's state now, from an earlier one and the records since; from the whole log where those do not do."""
    timeline, end, digest = state.timeline, state.end, state.end_digest
    for _ in range(_MOST_NEW):
        try:
            data = stored_bytes(store, end + 1)
        except KeyMissing:
            return replace(state, timeline=timeline, end=end, end_digest=digest)
        try:
            record = Record.decode(data, end + 1)
            continues = (record.parent, record.previous, record.session) == (end, digest, timeline.tip.session)
            if not continues or record.index != timeline.tip.index:
                break
            timeline = advance(timeline, record)
        except DamagedData:
            break
        end, digest = record.number, sha256(data)
    return require_session(store)


def _left_by_others(
    store: Store,
    state: LogState,
    us: ProcessIdentity,
    clock: Clock,
    options: OpenOptions,
    emit: Emit,
    stop: StopFlag,
) -> LogState:
    """The session's state once nobody else writes it any more. Raises `SessionInUse`, and when it is asked to stop."""
    while True:
        timeline = state.timeline
        if timeline.opened.kind is Kind.CREATED or timeline.closed is not None or options.take_over:
            return state
        process = ProcessIdentity.from_json(timeline.opened.body.get("process"))
        if is_known_dead(process, us, start_time_of):
            return state
        # What happened before we watch is no sign of life.
        newer = _caught_up(store, state) if options.stale_after > 0 else state
        if newer.end == state.end:
            emit(WaitingForWriter(host=process.host, pid=process.pid, seconds=options.stale_after))
            sign = watch_writer(store, timeline.opened, state.end, clock, options.stale_after, stop)
            if sign in (Sign.STILL, Sign.DIED):
                return state
            newer = _caught_up(store, state)
            if newer.timeline.closed is None and newer.timeline.opened.number == timeline.opened.number:
                raise _in_use(store, newer, options)
        state = newer


def _in_use(store: Store, state: LogState, options: OpenOptions) -> SessionInUse:
    opened = state.timeline.opened
    process = ProcessIdentity.from_json(opened.body.get("process"))
    return SessionInUse(store.url, process.host, process.pid, opened.date, options.may_take_over)
