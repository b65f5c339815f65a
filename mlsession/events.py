"""What happened, as values: one class per fact, numbered and dated by the stream that carries them.

The progress bar, logs, tests and callers all read the same events; none of them can slow the work down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsession.event import NOT_EMITTED as NOT_EMITTED
from mlsession.event import Event as Event
from mlsession.event import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreated(Event):
    """A new session was written to `url`."""

    url: str
    temporary: bool = False
    """No directory was given: the session lies in a temporary one, and cannot be found again by the same command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """The session got a new writer, which goes on after `phase`, `iteration` of the newest commit."""

    url: str
    phase: str
    iteration: int
    host: str = ""
    """Where the writer runs; "" where that is this very job."""
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsRecognized(Event):
    """The data are divided into folders such as `train` and `test`, and each was taken for what it is called.

    Each is a path or URL; "" where the data have no such part, or it was not needed.
    """

    training: str
    validation: str = ""
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingMade(Event):
    """Something stands out in the labels of the images and their numbers, before any of them is read.

    Or in their groups: `undivided_groups`, after all are extracted.
    """

    kind: str
    """As docs/scan.md names it."""
    severity: str
    """error, warning or note."""
    sentence: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForWriter(Event):
    """An earlier writer may still be alive; watching its heartbeat for up to `seconds`."""

    host: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprotected(Event):
    """The store has no exclusive create: nothing keeps a second writer out of this session."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsCorrected(Event):
    """A table of corrections was applied to the images of a source."""

    table: str
    relabeled: int
    """Images that have another label than their source gives them, or that the table says anyway."""
    removed: int
    """Images that are left out, or were not there."""
    left: Mapping[str, str] = field(default_factory=dict)
    """By path what was not applied, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted(Event):
    """A phase begins or, with `iteration` above 0, goes on."""

    phase: str
    iteration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Event):
    """A progress report. `elapsed` is seconds in this phase in this job."""

    phase: str
    iteration: int
    total: int | None
    item_count: int
    total_items: int | None
    elapsed: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSkipped(Event):
    """One item was left out, for a reason that follows from its bytes."""

    phase: str
    item: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCommitted(Event):
    """A checkpoint is durable and verified; `seconds` is what writing it took, in the background.

    Whoever follows a job from elsewhere cannot know that: None.
    """

    checkpoint: int
    phase: str
    iteration: int
    url: str
    seconds: float | None
    size_bytes: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSkipped(Event):
    """A stored checkpoint is damaged; the one before it is used."""

    checkpoint: int
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsRemoved(Event):
    """Checkpoints are off the session's list, by their numbers; what the session needs to go on is never removed."""

    checkpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalFailed(Event):
    """Superseded checkpoints cannot be deleted; the job goes on, and all that are there now stay."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRetried(Event):
    """The store did not answer; trying again in `delay` seconds."""

    operation: str
    reason: str
    attempt: int
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatMissed(Event):
    """The sign of life could not be written; another writer may think this one dead, which costs time, not data."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFailed(Event):
    """The feature cache cannot be used; the job goes on without it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DonorFailed(Event):
    """The features that were to be taken over cannot be had; they are extracted instead."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerStarted(Event):
    """A logger begins, or goes on, with the session's run.

    `logger` is its name or that of its class; `where` it writes to, "" where that is not known.
    """

    logger: str
    run: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerFailed(Event):
    """A logger cannot be used any more; the job goes on without it."""

    logger: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatchHalved(Event):
    """Fine-tuning ran out of memory: from now on each step is computed in parts of `new` images, not `original`.

    The step is done again; it still has `batch_size` images.
    """

    original: int
    new: int
    batch_size: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericsChanged(Event):
    """Something that can change bits differs from when the session was made."""

    what: str
    original: Scalar
    new: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFinished(Event):
    """A phase is complete and committed."""

    phase: str
    iteration: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished(Event):
    """The task is complete; the result is at hand."""

    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopping(Event):
    """The job was asked to stop, and will at the next safe point."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Event):
    """The process that trains the session was asked, through the store, to stop; it looks every five seconds."""

    opening: int
    """The turn that was asked, by its record's number: what opens the session later is not concerned."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """The process that trained the session said how it ended: `outcome` is finished, paused, interrupted or failed."""

    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLost(Event):
    """The process that trained the session is gone, and did not say how it ended; the session can be resumed."""

    host: str
    pid: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(Event):
    """The job ended without a result: `outcome` is cancelled, interrupted, taken_over or failed."""

    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsMissed(Event):
    """This reader fell behind; `count` events are gone. The job was not slowed."""

    count: int
