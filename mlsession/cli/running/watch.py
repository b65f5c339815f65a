"""`mlsession watch` and `stop`: sessions that another process trains, on this machine or any other."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE, STOPPED_BY_HAND, exit_code
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.narrator import note
from mlsession.cli.printing.progress import screen_for
from mlsession.cli.printing.text import one_line, plain
from mlsession.errors import Cancelled, Interrupted, SessionFailed
from mlsession.events import Event, SessionClosed, StopRequested, StoreRetried, WaitingForWriter, WriterLost
from mlsession.job.job import Job
from mlsession.session.session import TrainingSession
from mlsession.store.location import redact


def watch(url: str, typed_options: Sequence[str], poll_seconds: float, wait: bool, json: bool) -> int:
    """Shows a session until it ends, as the command that trains it does; Ctrl-C ends only the watching."""
    job = Job.attach(url, storage_options(typed_options), poll_seconds=poll_seconds, wait=wait)
    try:
        if json:
            for event in job.events():
                print_json(event.to_json())
        else:
            _show(job)
        error = job.exception()
    except KeyboardInterrupt:
        remark("no longer watching; the session goes on")
        return STOPPED_BY_HAND
    if isinstance(error, Cancelled | Interrupted):
        remark(f"stopped: {one_line(error)}; the command that trains this session goes on")
        return exit_code(error)
    job.result().close()
    return DONE


def stop(url: str, typed_options: Sequence[str], reason: str | None, wait: bool, json: bool) -> int:
    """Asks whoever trains a session to save and stop, and waits until that has happened; no error if nobody does."""
    job = Job.attach(url, storage_options(typed_options), poll_seconds=1.0)
    job.cancel(f"`mlsession stop` on {platform.node()}" if reason is None else reason)
    ending = _Ending()
    try:
        for event in job.events():
            ending.hear(event)
            if isinstance(event, _SAID_WHILE_STOPPING) and (text := note(event)):
                remark(text)
            if ending.was_asked and not wait:
                break
        else:
            ending.raise_others(job.exception())
    except KeyboardInterrupt:
        remark("no longer waiting; what was asked stands")
        return STOPPED_BY_HAND
    if json:
        print_json(ending.to_json(url, job))
    elif wait or not ending.was_asked:
        print_lines([ending.line(url, job)])
    return DONE


_SAID_WHILE_STOPPING = (StopRequested, StoreRetried, WaitingForWriter, WriterLost)


@dataclass(slots=True)
class _Ending:
    """How a session ended that was to be stopped."""

    was_asked: bool = False
    outcome: str = "new"
    reason: str = ""

    def hear(self, event: Event) -> None:
        match event:
            case StopRequested():
                self.was_asked, self.outcome, self.reason = True, "running", event.reason
            case SessionClosed(outcome=outcome, reason=reason):
                self.outcome, self.reason = outcome, reason
            case WriterLost():
                self.outcome, self.reason = "interrupted", event.reason

    def raise_others(self, error: BaseException | None) -> None:
        """Raises what is not an ending of the session, such as a store that does not answer."""
        if error is not None and not isinstance(error, Cancelled | Interrupted | SessionFailed):
            raise error

    def line(self, url: str, job: Job[TrainingSession]) -> str:
        """The same for people."""
        newest = job.checkpoints[-1] if job.checkpoints else None
        where = f" after {plain(newest.phase)} {newest.iteration}" if newest else ""
        why = f" ({one_line(self.reason)})" if self.reason else ""
        shown = plain(redact(url))
        begin = f"stopped {shown}: " if self.was_asked else f"{shown} is not running: "
        return f"{begin}{self.outcome}{where}{why}"

    def to_json(self, url: str, job: Job[TrainingSession]) -> dict[str, object]:
        """The same for programs."""
        newest = job.checkpoints[-1] if job.checkpoints else None
        return {
            "url": redact(url),
            "asked": self.was_asked,
            "status": self.outcome,
            "reason": self.reason,
            "phase": newest.phase if newest else "initialized",
            "iteration": newest.iteration if newest else 0,
        }


def _show(job: Job[TrainingSession]) -> None:
    screen = screen_for(sys.stdout)
    try:
        for event in job.events():
            screen.show(event)
    finally:
        screen.close()
