"""A callback that logs a session's course: its parameters, the metrics of each phase by iteration, what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlsession.errors import JobStopped
from mlsession.events import Event, LoggerFailed, LoggerStarted, PhaseStarted, Progressed, SessionOpened
from mlsession.loggers.bound import BoundLogger, Ending, bound
from mlsession.loggers.earlier import EarlierFigures
from mlsession.loggers.run import LoggedRun
from mlsession.loggers.secrets import logger_scrubber
from mlsession.session.loggers import LoggerName, MetricsLogger
from mlsession.store.location import redact

if TYPE_CHECKING:
    from mlsession.job.job import Job


class SessionLogging:
    """One attempt's part of a run, with one logger. If that fails it is let go of, and said so; the training goes on.

        session opened          log the parameters, and what earlier attempts committed and had no time to log
        phase started           forget what is there of iterations that are done again
        progressed              log the metrics as phase/name, at the phase's iteration
        end                     log what the session came to; finalize

    A session that had finished before gets what is missing, in a run that can be read back.
    """

    def __init__(
        self,
        choice: LoggerName | MetricsLogger,
        run: LoggedRun,
        emit: Callable[[Event], None],
        earlier: Callable[[], EarlierFigures],
    ) -> None:
        """`earlier` reads what the session has committed by now."""
        self._choice = choice
        self._what = choice.kind if isinstance(choice, LoggerName) else type(choice).__name__
        self._run = run
        self._emit = emit
        self._earlier = earlier
        self._logger: BoundLogger | None = None
        self._has_started = False
        self._is_late = False
        self._final: tuple[Mapping[str, float], int] | None = None

    def conclude(self, figures: Mapping[str, float], step: int) -> None:
        """What the session came to, by name; logged at the end. From any thread, before the job ends."""
        self._final = (figures, step)

    def be_late(self) -> None:
        """Is told that the job waits no longer; from its thread."""
        self._is_late = True
        self._emit(LoggerFailed(logger=self._what, reason="it did not finish in time"))

    # What the job calls

    def on_event(self, job: Job[Any], event: Event) -> None:
        match event:
            case SessionOpened():
                self._try(self._start)
            case PhaseStarted():
                self._with(lambda logger: logger.rewind(event.phase, event.iteration))
            case Progressed() if event.metrics:
                self._with(lambda logger: logger.log(named(event.phase, event.metrics), event.iteration))

    def on_progress(self, job: Job[Any], progress: Progressed) -> None:
        """Told as an event."""

    def on_checkpoint(self, job: Job[Any], checkpoint: object) -> None:
        """Of no concern here."""

    def on_end(self, job: Job[Any], error: BaseException | None) -> None:
        if error is None and not self._has_started:
            self._try(self._start_if_read)  # The session had finished before.
        if (final := self._final) is not None:
            self._with(lambda logger: logger.log_summary(self._run.parameters, *final))
        ending: Ending = "success" if error is None else "stopped" if isinstance(error, JobStopped) else "failed"
        self._with(lambda logger: logger.end(ending))

    def _start_if_read(self) -> None:
        self._start(only_if_read=True)

    def _start(self, only_if_read: bool = False) -> None:
        """With `only_if_read` a logger of which nobody can tell what it holds is left alone."""
        if self._has_started:
            return
        self._has_started = True
        logger = bound(self._choice, self._run)
        if logger.held is None and only_if_read:
            return
        logger.log_parameters(self._run.parameters)
        self._emit(LoggerStarted(logger=self._what, run=self._run.id, where=redact(logger.where)))
        self._logger = logger
        if logger.held is not None:
            for phase, rows in self._earlier().items():
                for iteration, metrics in rows:
                    logger.log(named(phase, metrics), iteration)

    def _with(self, act: Callable[[BoundLogger], None]) -> None:
        if (logger := self._logger) is not None:
            self._try(lambda: act(logger))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._logger = None
            if not self._is_late:
                reason = logger_scrubber(self._choice)(f"{type(error).__name__}: {error}")
                self._emit(LoggerFailed(logger=self._what, reason=reason))


def named(phase: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """`training/loss` and the like."""
    return {f"{phase}/{name}": float(value) for name, value in metrics.items()}
