"""`mlsession worker`: one of the processes that train a session together, started by a launcher such as torchrun."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar, cast

from mlsession.cli.options import arguments as typed
from mlsession.cli.outcome import DONE, error_line
from mlsession.cli.output import remark
from mlsession.cli.printing.progress import follow, screen_for
from mlsession.clock import SystemClock
from mlsession.devices.choice import StrategyChoice
from mlsession.devices.failures import failure_to_json
from mlsession.devices.joining import joined
from mlsession.devices.placement import VISIBLE, Placement, placement_here, visible_device
from mlsession.errors import InvalidParameter, JobStopped, UsageError, WorkerLost
from mlsession.events import Event, JobEnded, JobFinished
from mlsession.job.context import JobContext
from mlsession.job.handed import Handed, taken_over
from mlsession.job.job import Job
from mlsession.job.parents import end_with
from mlsession.job.report import ReportWriter
from mlsession.job.signals import heeded_signals
from mlsession.session.parameters import SessionParameters
from mlsession.training.outcome import Trained
from mlsession.training.request import NO_ACCESS
from mlsession.training.workers.working import drive, has_ended, newest_opening, take_part

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerArguments:
    """The command line, as typed."""

    url: str
    on_modified_data: str
    checkpoint_interval: str
    keep_last: int | None
    keep_best: int | None
    report_interval: int
    cache: str
    cache_size: str
    storage_option: Sequence[str] = field(repr=False)
    take_over: bool
    strategy: str

    def parameters(self, placement: Placement) -> SessionParameters:
        """Of the session, for a worker that nobody handed anything."""
        return SessionParameters(
            self.url,
            report_interval=self.report_interval,
            checkpoint_interval=typed.checkpoint_interval(self.checkpoint_interval),
            keep_last=self.keep_last,
            keep_best=self.keep_best,
            take_over=self._takes_over(placement),
            on_modified_data=typed.on_modified_data(self.on_modified_data),
            cache=typed.cache(self.cache),
            cache_size=typed.byte_count("cache-size", self.cache_size),
            strategy=cast(StrategyChoice, self.strategy),  # Checked there.
            storage_options=typed.storage_options(self.storage_option),
        )

    def _takes_over(self, placement: Placement) -> bool:
        """Taking over is a decision about one moment, and a launcher's next start must not inherit it.

        How often it has started its workers is not known here: where machines come and go it does so uncounted.
        """
        if self.take_over and placement.is_elastic:
            cure = "take over once before, with `mlsession train ... --create-only --take-over`"
            raise InvalidParameter("take_over", True, f"a launcher would do it again with every restart; {cure}")
        return self.take_over


def worker(given: WorkerArguments, check_signals: Callable[[], None]) -> int:
    """Does this process's part; returns the exit code, which is 0 to a launcher that would start it again in vain."""
    handed, placement = taken_over(), placement_here()
    report = None if handed is None else ReportWriter(handed.report, placement.rank, placement.restarts)
    if handed is not None:
        end_with(handed.ancestors)
    if report is not None:
        report.begin()
    if placement.size > 1:
        os.environ[VISIBLE] = visible_device(os.environ.get(VISIBLE), placement.local_rank)
    try:
        with _reporting(report):
            parameters = given.parameters(placement) if handed is None else handed.parameters
            if placement.rank == 0:
                return _lead(parameters, placement, handed, report, check_signals)
            return _follow(parameters, placement, handed)
    except (JobStopped, UsageError) as error:
        if isinstance(error, WorkerLost) or not placement.is_elastic:
            raise
        remark(error_line(error))
        return DONE


@contextmanager
def _reporting(report: ReportWriter | None) -> Iterator[None]:
    """Tells whoever reads the report what ends this worker."""
    try:
        yield
    except Exception as error:  # What else there is are signals.
        if report is not None:
            report.end(failure_to_json(error))
        raise


def _lead(
    parameters: SessionParameters,
    placement: Placement,
    handed: Handed | None,
    report: ReportWriter | None,
    check_signals: Callable[[], None],
) -> int:
    """Rank 0: drives the session, and shows or reports what happens."""
    access, is_prepared = (NO_ACCESS, False) if handed is None else (handed.access, True)
    is_restarted = placement.restarts > 0

    def work(context: JobContext) -> Trained:
        def heed() -> None:
            asked, now = context.stop.request, context.clock.monotonic()
            # The step is waited for, as long as a checkpoint can still be saved after it.
            if asked is not None and now - asked.since > parameters.grace_seconds / 2:
                raise asked.error()

        if placement.size == 1:
            return drive(parameters, None, context, access, is_prepared=is_prepared, is_restarted=is_restarted)
        with joined(placement, heed, context.stop.check) as crew:
            return drive(parameters, crew, context, access, is_prepared=is_prepared, is_restarted=is_restarted)

    screen = screen_for(sys.stderr) if report is None else _Reporting(report)
    try:
        job = Job(work)
        with _interrupting(job):
            check_signals()
            follow(job, screen, parameters.grace_seconds + 5)
    finally:
        screen.close()
    return DONE


def _follow(parameters: SessionParameters, placement: Placement, handed: Handed | None) -> int:
    """Any other rank: does what rank 0 says. What it is to end for is said to rank 0, and so it hears no signals."""
    context, access = JobContext(emit=_unheard, clock=SystemClock()), NO_ACCESS if handed is None else handed.access
    before = newest_opening(parameters)
    try:
        with joined(placement) as crew:
            for number in heeded_signals():
                signal.signal(number, signal.SIG_IGN)
            take_part(parameters, crew, context, access)
    except WorkerLost:
        if not has_ended(parameters, before):
            raise
    return DONE


@dataclass(frozen=True, slots=True)
class _Reporting:
    """The screen of a worker whose training shows what happens."""

    report: ReportWriter

    def show(self, event: Event) -> None:
        if not isinstance(event, JobEnded | JobFinished):  # Those are of this process's job.
            self.report.tell(event)

    def close(self) -> None:
        """Each line has been written."""


@contextmanager
def _interrupting(job: Job[T]) -> Iterator[None]:
    """While the block runs, signals interrupt `job`, however many there are: launchers send them on as well."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        job.interrupt(f"signal {signal.Signals(number).name}")

    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in heeded_signals()}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unheard(event: Event) -> None:
    """Events of a follower go to rank 0 with what it has made."""
