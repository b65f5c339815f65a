"""`mlsession checkpoints list` and `remove`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE, FAILED, WRONG_USE
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.narrator import note
from mlsession.cli.printing.text import number_of, percent, plain
from mlsession.errors import InvalidParameter
from mlsession.events import Event, SessionOpened
from mlsession.job.run import SessionPlace
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.parameters import SessionParameters
from mlsession.session.retention import Retention
from mlsession.session.session import TrainingSession

MOST_NAMED = 20
"""Things that are named to people; --json names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which checkpoints somebody wants to remove: those that meet all that is given."""

    numbers: frozenset[int] = field(default_factory=frozenset)
    before: int | None = None
    """Of an iteration below this."""
    phase: str | None = None
    keep_last: int | None = None
    keep_best: int | None = None

    @property
    def retention(self) -> Retention:
        """The rule whose superseded checkpoints are meant, if one is given."""
        return Retention(keep_last=self.keep_last, keep_best=self.keep_best)

    def of(self, session: TrainingSession) -> tuple[Checkpoint, ...]:
        """What is chosen of a session's checkpoints, oldest first.

        Raises `InvalidParameter` where nothing was said, and for a number that is not there.
        """
        rule = self.retention
        if not self.numbers and self.before is None and self.phase is None and rule.keeps_all:
            reason = "say which: numbers, --before, --phase, --keep-last or --keep-best"
            raise InvalidParameter("checkpoints", None, reason)
        listed = session.checkpoints
        unknown = sorted(self.numbers - {checkpoint.number for checkpoint in listed})
        if unknown:
            raise InvalidParameter("NUMBER", unknown[0], f"{plain(session.url)} has no such checkpoint")
        superseded = listed if rule.keeps_all else session.superseded_checkpoints(self.keep_last, self.keep_best)
        return tuple(
            checkpoint
            for checkpoint in superseded
            if (not self.numbers or checkpoint.number in self.numbers)
            and (self.before is None or checkpoint.iteration < self.before)
            and (self.phase is None or checkpoint.phase == self.phase)
        )


def checkpoints_list(url: str, typed_options: Sequence[str], json: bool) -> int:
    """Lists the checkpoints; only reads."""
    with session_at(url, typed_options) as session:
        listed = session.checkpoints
    if json:
        print_json({"checkpoints": [checkpoint.to_json() for checkpoint in listed]})
    else:
        print_lines(checkpoint_lines(listed))
    return DONE


def checkpoints_remove(url: str, choice: Choice, yes: bool, typed_options: Sequence[str], json: bool) -> int:
    """Removes checkpoints, after asking."""
    with session_at(url, typed_options) as session:
        chosen = choice.of(session)
        where, what = plain(session.url), number_of(len(chosen), "checkpoint")
        if chosen and not yes:
            if not sys.stdin.isatty():
                remark(f"error: removing {what} of {where} needs a yes, and there is no terminal to ask on: give --yes")
                return WRONG_USE
            if not _is_confirmed(f"remove {what} of {where} for good? [y/N] "):
                remark("nothing was removed")
                return FAILED
        numbers = {checkpoint.number for checkpoint in chosen}
        removed = session.remove_checkpoints(lambda checkpoint: checkpoint.number in numbers, tell)
    gone = {checkpoint.number for checkpoint in removed}
    kept = [checkpoint for checkpoint in chosen if checkpoint.number not in gone]
    if json:
        print_json(
            {
                "removed": [checkpoint.to_json() for checkpoint in removed],
                "kept": [checkpoint.to_json() for checkpoint in kept],
            }
        )
    else:
        print_lines([f"removed {number_of(len(removed), 'checkpoint')} of {where}"])
    if kept:
        names = ", ".join(str(checkpoint.number) for checkpoint in kept[:MOST_NAMED])
        remark(f"kept {names}: going on, or a checkpoint that stays, rests on {'it' if len(kept) == 1 else 'them'}")
    return DONE


def checkpoint_lines(listed: Sequence[Checkpoint]) -> list[str]:
    """A table of checkpoints, for people."""
    if not listed:
        return ["no checkpoints yet"]
    rows = [("number", "phase", "iteration", "date (UTC)", "metrics")]
    for checkpoint in listed:
        metrics = [_metric(name, value) for name, value in sorted(checkpoint.metrics.items())]
        date = f"{checkpoint.date:%Y-%m-%d %H:%M:%S}"
        phase, iteration = plain(checkpoint.phase), f"{checkpoint.iteration:,}"
        rows.append((str(checkpoint.number), phase, iteration, date, ", ".join(metrics)))
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    return [
        f"{number:>{first}}  {phase:<{second}}  {iteration:>{third}}  {date:<19}  {metrics}".rstrip()
        for number, phase, iteration, date, metrics in rows
    ]


def _metric(name: str, value: float) -> str:
    shown = percent(value) if "accuracy" in name else f"{value:.4g}"
    return f"{plain(name).replace('_', ' ')} {shown}"


def session_at(url: str, typed_options: Sequence[str]) -> TrainingSession:
    parameters = SessionParameters(url, storage_options=storage_options(typed_options))
    return TrainingSession(SessionPlace.of(parameters).open, parameters)


def _is_confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def tell(event: Event) -> None:
    # Of what opening the session says only waiting, retries and missing protection are news.
    if not isinstance(event, SessionOpened) and (text := note(event)):
        remark(text)
