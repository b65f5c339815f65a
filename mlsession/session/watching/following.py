"""Following a session that another process trains: from its new records and heartbeats to events. Pure.

The log says what is certain, in order; the heartbeat says, every few seconds, what is not yet committed. A follower
reads the heartbeat first and the log after it, and applies them the other way round: so whatever was committed before
a beat is known before the beat is looked at, and a beat that is older than a commit is told by its phase and iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mlsession.errors import Cancelled, DamagedData, Interrupted, JobStopped, SessionFailed
from mlsession.events import (
    CheckpointCommitted,
    CheckpointsRemoved,
    Event,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    SessionClosed,
    SessionOpened,
)
from mlsession.session.checkpoint import checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.log.journal import LogState
from mlsession.session.log.layout import record_key
from mlsession.session.log.records import CheckpointEntry, Kind, Outcome, Record
from mlsession.session.log.timeline import Timeline, entry_of, removed_by
from mlsession.session.stop import HANDED_OVER
from mlsession.session.watching.beat import Beat
from mlsession.session.watching.liveness import ProcessIdentity

Events = tuple[Event, ...]
Standing = tuple[str, int]
"""Phase and iteration of the newest commit."""
UNBEGUN: Standing = ("initialized", 0)
NOBODY = ProcessIdentity(host="", pid=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a follower knows of a session."""

    url: str
    session: str
    """The session's id: another one's records do not belong to it."""
    phases: tuple[str, ...]
    """The task's phases in order."""
    end: int
    """The newest record that is known."""
    opening: int = 0
    """The newest `opened` record; 0 while nobody has trained the session."""
    writer: str = ""
    process: ProcessIdentity = NOBODY
    outcome: Outcome | None = None
    """How the opening ended; None while it has not said so."""
    reason: str = ""
    standing: Standing = UNBEGUN
    phase: str | None = None
    """The phase that the opening is in, as far as it has shown one."""
    is_over: bool = False
    """Whether that phase has ended."""
    since: datetime | None = None
    """When what comes after the newest end of a phase began, by the writer's clock; None before the known opening."""
    report: Progressed | None = None
    """The newest progress of the phase."""

    @property
    def is_open(self) -> bool:
        """Whether somebody may be training the session."""
        return self.opening > 0 and self.outcome is None

    @property
    def may_go_on(self) -> bool:
        """Whether it may be a launcher's workers, which nobody has stopped and others are about to go on for."""
        is_handed_over = self.outcome is Outcome.PAUSED and self.reason.startswith(HANDED_OVER)
        return self.opening > 0 and (self.outcome in (None, Outcome.INTERRUPTED) or is_handed_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """A heartbeat as a follower sees it, on its own monotonic clock."""

    opening: int
    data: bytes
    since: float
    """Since when it has not changed."""


def pulse_after(pulse: Pulse | None, opening: int, data: bytes, now: float, was_blind: bool) -> Pulse:
    """The pulse after one more look; a follower that could not look (`was_blind`) begins to watch anew."""
    if pulse is not None and not was_blind and (pulse.opening, pulse.data) == (opening, data):
        return pulse
    return Pulse(opening=opening, data=data, since=now)


def begin_following(
    url: str, state: LogState, checkpoints: Sequence[CheckpointEntry], before: Standing, after: int = -1
) -> tuple[Following, Events]:
    """Where a session stands, and its past as events: its checkpoints, its newest opening and how that ended.

    `checkpoints` are the newest ones, oldest first, and `before` what was committed before them. Nothing is told of
    records up to number `after`.
    """
    timeline = state.timeline
    opened = timeline.opened
    known = Following(
        url=url, session=opened.session, phases=Identity.from_record(opened).phases, end=0, standing=before
    )
    events: list[Event] = []

    def add(step: tuple[Following, Events], number: int) -> None:
        nonlocal known
        known = step[0]
        events.extend(step[1] if number > after else ())

    for entry in checkpoints:
        if known.opening < opened.number < entry.number:
            add(after_opening(known, opened, known.standing), opened.number)
        add(after_commit(known, entry), entry.number)
    if known.opening < opened.number and opened.kind is Kind.OPENED:
        add(after_opening(known, opened, standing_of(timeline)), opened.number)
    if timeline.closed is not None:
        add(after_closing(known, timeline.closed), timeline.closed.number)
    return replace(known, end=state.end, standing=standing_of(timeline)), tuple(events)


def standing_of(timeline: Timeline) -> Standing:
    """Phase and iteration of a timeline's newest commit."""
    commit = timeline.last_commit
    return (commit.phase, commit.iteration) if commit else UNBEGUN


def after_record(known: Following, record: Record, standing: Standing) -> tuple[Following, Events]:
    """What is known after the next record, and what it tells.

    `standing` is that of the record's parent. Raises `DamagedData` for a body that its kind does not have.
    """
    match record.kind:
        case Kind.OPENED:
            following, events = after_opening(known, record, standing)
        case Kind.CHECKPOINT:
            following, events = after_commit(known, entry_of(record, {}))
        case Kind.CLOSED:
            following, events = after_closing(known, record)
        case Kind.CREATED | Kind.REMOVED:
            following, events = known, ()
    if removed := removed_by(record):
        date = datetime.fromisoformat(record.date)
        events = (*events, CheckpointsRemoved(checkpoints=tuple(sorted(removed)), date=date))
    return replace(following, end=record.number), events


def after_opening(known: Following, record: Record, standing: Standing) -> tuple[Following, Events]:
    """A writer begins on the state `standing`."""
    date = datetime.fromisoformat(record.date)
    process = ProcessIdentity.from_json(record.body.get("process"))
    phase, iteration = standing
    following = Following(
        url=known.url,
        session=known.session,
        phases=known.phases,
        end=known.end,
        opening=record.number,
        writer=record.writer,
        process=process,
        standing=standing,
        since=date,
    )
    opened = SessionOpened(
        url=known.url, phase=phase, iteration=iteration, host=process.host, pid=process.pid, date=date
    )
    return following, (opened,)


def after_commit(known: Following, entry: CheckpointEntry) -> tuple[Following, Events]:
    """A checkpoint is there, and with it the progress that it holds."""
    date = datetime.fromisoformat(entry.date)
    events: list[Event] = []
    report = known.report
    if known.phase != entry.phase or known.is_over:
        goes_on = known.standing[0] == entry.phase and not entry.fresh
        begun = known.standing[1] if goes_on else 0
        events.append(PhaseStarted(phase=entry.phase, iteration=begun, date=known.since or date))
        report = None
    if known.since is not None and (report is None or report.iteration < entry.iteration):
        report = _progress_of(entry, date, known.since, report)
        events.append(report)
    checkpoint = checkpoint_of(entry, known.url)
    events.append(
        CheckpointCommitted(
            checkpoint=entry.number,
            phase=entry.phase,
            iteration=entry.iteration,
            url=checkpoint.url,
            seconds=None,
            size_bytes=entry.size_bytes,
            metrics=entry.metrics,
            date=date,
        )
    )
    if entry.ended:
        events.append(PhaseFinished(phase=entry.phase, iteration=entry.iteration, metrics=entry.metrics, date=date))
    following = replace(
        known,
        standing=(entry.phase, entry.iteration),
        phase=entry.phase,
        is_over=entry.ended,
        since=date if entry.ended and known.since is not None else known.since,
        report=report,
    )
    return following, tuple(events)


def after_closing(known: Following, record: Record) -> tuple[Following, Events]:
    """The writer said how it ended."""
    outcome, reason = record.body.get("outcome"), str(record.body.get("reason", ""))
    if outcome not in tuple(Outcome):
        raise DamagedData(record_key(record.number), f"it has no outcome ({outcome!r})")
    closed = SessionClosed(outcome=str(outcome), reason=reason, date=datetime.fromisoformat(record.date))
    return replace(known, outcome=Outcome(str(outcome)), reason=reason), (closed,)


def after_beat(known: Following, beat: Beat) -> tuple[Following, Events]:
    """What a heartbeat of the present opening adds; nothing where the log is further already."""
    started, progress = beat.started, beat.progress
    if not known.is_open or started is None or _is_behind(known, started.phase):
        return known, ()
    events: list[Event] = []
    if known.phase != started.phase or known.is_over:
        events.append(started)
        known = replace(known, phase=started.phase, is_over=False, report=None)
    if progress is None:
        return known, tuple(events)
    if known.report is None or known.report.iteration < progress.iteration:
        events.append(progress)
        return replace(known, report=progress), tuple(events)
    # A commit was faster, but only a beat knows how much there is to do.
    report = replace(known.report, total=progress.total, total_items=progress.total_items)
    return replace(known, report=report), tuple(events)


def stopped(known: Following) -> JobStopped | None:
    """What a job raises whose session was closed without being finished; None where it was not."""
    reason = known.reason or "no reason was recorded"
    match known.outcome:
        case Outcome.PAUSED:
            return Cancelled(reason)
        case Outcome.INTERRUPTED:
            return Interrupted(reason)
        case Outcome.FAILED:
            return SessionFailed(f"training {known.url} failed: {reason}")
        case _:
            return None


def _is_behind(known: Following, phase: str) -> bool:
    """Whether a beat tells of a phase that is past: within an opening phases come in the task's order."""
    if known.phase is None or phase not in known.phases or known.phase not in known.phases:
        return phase == known.phase and known.is_over
    place, present = known.phases.index(phase), known.phases.index(known.phase)
    return place < present or (place == present and known.is_over)


def _progress_of(entry: CheckpointEntry, date: datetime, since: datetime, report: Progressed | None) -> Progressed:
    """The progress that a commit holds; what only a heartbeat tells is taken from the newest one."""
    elapsed = max((date - since).total_seconds(), report.elapsed if report else 0.0)
    return Progressed(
        phase=entry.phase,
        iteration=entry.iteration,
        total=report.total if report else None,
        item_count=entry.item_count,
        total_items=report.total_items if report else None,
        elapsed=elapsed,
        metrics=entry.metrics,
        date=date,
    )
