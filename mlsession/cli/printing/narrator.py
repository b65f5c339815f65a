"""What is said of a job while it runs: events become lines of text. No terminal, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.cli.printing.meter import Meter, meter_after
from mlsession.cli.printing.text import duration, number_of, one_line, percent, plain
from mlsession.events import (
    CacheFailed,
    CheckpointCommitted,
    CheckpointSkipped,
    DonorFailed,
    Event,
    EventsMissed,
    FindingMade,
    HeartbeatMissed,
    ItemSkipped,
    JobEnded,
    JobFinished,
    JobStopping,
    LabelsCorrected,
    LoggerFailed,
    LoggerStarted,
    MicroBatchHalved,
    NumericsChanged,
    PartsRecognized,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    RemovalFailed,
    SessionClosed,
    SessionCreated,
    SessionOpened,
    StopRequested,
    StoreRetried,
    Unprotected,
    WaitingForWriter,
    WriterLost,
)

MOST_NAMED = 5
"""Skipped images that are named one by one; the others are counted."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show."""

    text: str
    passing: bool = False
    """Of the moment: may be left out when the next one follows soon, or shown as a bar."""


class Narrator:
    """Turns the events of one job, in order, into lines."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self._num_skipped = 0

    def lines(self, event: Event) -> list[Line]:
        """What to say of the next event; often nothing."""
        self.meter = meter_after(self.meter, event)
        match event:
            case ItemSkipped():
                self._num_skipped += 1
                if self._num_skipped <= MOST_NAMED:
                    return [Line(f"skipped {plain(event.item)}: {one_line(event.reason)}")]
                return []
            case PhaseStarted():
                return [Line(_start(event))]
            case PhaseFinished():
                return [*self._rest_of_skipped(), Line(self._end(event))]
            case JobFinished() | JobEnded():
                return self._rest_of_skipped()
            case Progressed() | CheckpointCommitted():
                return [Line(self._passing(event), passing=True)]
            case _:
                text = note(event)
                return [Line(text)] if text else []

    def _rest_of_skipped(self) -> list[Line]:
        rest, self._num_skipped = self._num_skipped - MOST_NAMED, min(self._num_skipped, MOST_NAMED)
        if rest <= 0:
            return []
        inferring = self.meter is not None and self.meter.phase == "inferencing"
        where = "the output" if inferring else "`mlsession status URL --json`"
        return [Line(f"skipped {number_of(rest, 'further image')}; {where} names them all")]

    def _passing(self, event: Progressed | CheckpointCommitted) -> str:
        if isinstance(event, CheckpointCommitted):
            return f"checkpoint {event.checkpoint}: {plain(event.phase)} {event.iteration}"
        meter = self.meter
        assert meter is not None
        parts = [f"{meter.done:,} of {meter.total:,} {meter.unit}" if meter.total else meter.counted]
        if meter.unit == "images" and meter.rate is not None:
            parts.append(f"{meter.rate:.1f} images/s")
        parts += metric_words(event)
        if meter.seconds_left is not None and meter.seconds_left >= 1:
            parts.append(f"about {duration(meter.seconds_left)} left")
        return f"{plain(event.phase)}: {', '.join(parts)}"

    def _end(self, event: PhaseFinished) -> str:
        meter = self.meter
        if meter is None or meter.latest is None:
            return ", ".join([f"{plain(event.phase)}: done", *metric_words(event)])
        words = [meter.counted, *metric_words(meter.latest, has_ended=True), f"in {duration(meter.latest.elapsed)}"]
        return f"{plain(event.phase)}: done, {', '.join(words)}"


def metric_words(event: Progressed | PhaseFinished, has_ended: bool = False) -> list[str]:
    """The metrics of a report, in words; `has_ended`: it was the last one of its phase."""
    words: list[str] = []
    for name, value in event.metrics.items():
        if name == "kept":
            words.append("tuned model kept" if value else "head alone kept")
        elif name == "candidate":
            words.append(f"extractor {value:.0f}")
        elif name == "reused":
            words.append(f"{value:,.0f} reused")
        elif "accuracy" in name:
            words.append(f"{plain(name).replace('_', ' ')} {percent(value)}")
        else:
            words.append(f"{plain(name).replace('_', ' ')} {value:.4g}")
    if words and event.phase == "selecting" and isinstance(event, Progressed) and not has_ended:
        words[0] = f"so far {words[0]}"  # Of what has been judged by now, which may be one fold of several.
    return words


def note(event: Event) -> str | None:
    """One line for an event that is not part of the usual course; None for one that says nothing."""
    match event:
        case SessionCreated():
            hint = " (temporary: the same command will not find it again)" if event.temporary else ""
            return f"session: created {plain(event.url)}{hint}"
        case SessionOpened():
            begun = event.phase != "initialized"
            if event.host:
                after = f", going on after {plain(event.phase)} {event.iteration}" if begun else ""
                return f"session: opened by process {event.pid} on {plain(event.host)}{after}"
            return f"session: going on after {plain(event.phase)} {event.iteration}" if begun else None
        case LabelsCorrected() | PartsRecognized() | FindingMade():
            return _of_data(event)
        case WaitingForWriter():
            return (
                f"note: process {event.pid} on {plain(event.host)} may still be at work on this session; "
                f"watching it for up to {duration(event.seconds)}"
            )
        case Unprotected():
            return (
                "warning: this store has no exclusive create, so nothing keeps a second writer out of the session; "
                "see to it that only one process trains it"
            )
        case NumericsChanged():
            return (
                f"warning: {plain(event.what)} was {plain(event.original)} when the session was made and is "
                f"{plain(event.new)} now; the model may differ in its last bits"
            )
        case CheckpointSkipped():
            return (
                f"warning: checkpoint {event.checkpoint} is damaged ({one_line(event.reason)}); "
                "going on from the one before it"
            )
        case StoreRetried():
            return (
                f"note: the store does not answer ({one_line(event.reason)}); "
                f"try {event.attempt + 1} in {duration(event.delay)}"
            )
        case HeartbeatMissed():
            return f"note: the sign of life could not be written ({one_line(event.reason)}); training goes on"
        case CacheFailed() | DonorFailed() | MicroBatchHalved() | LoggerStarted() | LoggerFailed():
            return _of_course(event)
        case RemovalFailed():
            return f"note: superseded checkpoints stay, they cannot be removed: {one_line(event.reason)}"
        case JobStopping():
            return f"stopping: {one_line(event.reason)}; saving first (a second Ctrl-C stops at once)"
        case StopRequested():
            return "stopping: the process that trains the session was asked to, and looks every few seconds"
        case SessionClosed():
            return f"session: {plain(event.outcome)}{f' ({one_line(event.reason)})' if event.reason else ''}"
        case WriterLost():
            return f"warning: {one_line(event.reason)}; what is committed is kept"
        case EventsMissed():
            return f"note: {number_of(event.count, 'event')} came too fast to be shown"
        case _:
            return None


def _start(event: PhaseStarted) -> str:
    after = f", going on after {event.iteration}" if event.iteration else ""
    return f"{plain(event.phase)}: started{after}"


def _of_course(event: CacheFailed | DonorFailed | MicroBatchHalved | LoggerStarted | LoggerFailed) -> str:
    """What is said of how a job goes on."""
    match event:
        case CacheFailed():
            return f"note: going on without the feature cache: {one_line(event.reason)}"
        case DonorFailed():
            return f"note: extracting what was to be taken over: {one_line(event.reason)}"
        case MicroBatchHalved():
            return (
                f"note: out of memory ({one_line(event.reason)}); each step is computed in parts of "
                f"{number_of(event.new, 'image')} from now on"
            )
        case LoggerStarted():
            where = f" in {plain(event.where)}" if event.where else ""
            return f"log: {plain(event.logger)}, run {plain(event.run)}{where}"
        case LoggerFailed():
            return f"warning: going on without the logger {plain(event.logger)}: {one_line(event.reason)}"


def _of_data(event: LabelsCorrected | PartsRecognized | FindingMade) -> str:
    """What is said of the images before any is read."""
    match event:
        case LabelsCorrected():
            return _corrected(event)
        case PartsRecognized():
            used = ((event.validation, "to validate on"), (event.test, "to test on"))
            others = "".join(f", {plain(url)} {what}" for url, what in used if url)
            return f"data: divided already; {plain(event.training)} to train on{others}"
        case FindingMade():
            return f"{event.severity}: {one_line(event.sentence)}; {one_line(event.cure)}"


def _corrected(event: LabelsCorrected) -> str:
    said = (
        f"labels: {plain(event.table)} relabels {number_of(event.relabeled, 'image')} and leaves {event.removed:,} out"
    )
    named = [f"{plain(path)}: {one_line(reason)}" for path, reason in event.left.items()]
    more = f", and {len(named) - MOST_NAMED:,} more" if len(named) > MOST_NAMED else ""
    return f"{said}; not applied to {', '.join(named[:MOST_NAMED])}{more}" if named else said
