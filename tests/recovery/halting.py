"""A process that stops in its tracks, as SIGSTOP has it, once it has committed the first record of a kind.

    nursery.start("mlsession", "train", ..., halt="reached finetuning 3").until_halted()

Whoever waits for a process to be somewhere looks at what it saves, and a busy machine may let them look late, when the
process has long gone on. This one is found there; it dies as any other, or goes on with SIGCONT.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Kind, Record


def is_opened(record: Record) -> bool:
    return record.kind is Kind.OPENED


def is_numbered(record: Record, number: str) -> bool:
    return record.number >= int(number)


def is_within(record: Record, *phases: str) -> bool:
    """Whether it is a checkpoint in the midst of one of these phases."""
    return record.kind is Kind.CHECKPOINT and record.body["phase"] in phases and record.body["ended"] is False


def has_reached(record: Record, phase: str, iteration: str) -> bool:
    """Whether it is a checkpoint of a phase, at that iteration or beyond."""
    return record.body.get("phase") == phase and int(str(record.body["iteration"])) >= int(iteration)


def is_judging(record: Record) -> bool:
    """Whether it was made while a perceptron is judged: of it there is no strength of a penalty."""
    metrics = record.body["metrics"] if is_within(record, "selecting") else None
    return isinstance(metrics, dict) and "accuracy" in metrics and "strength" not in metrics


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process are: on a busy machine one may run for a while yet, and write.

    By what Linux says of them; elsewhere nothing is known, and none are asked for.
    """
    return all(map(_is_stopped, Path(f"/proc/{pid}/task").glob("*/stat")))


def _is_stopped(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True  # It has ended meanwhile.


CONDITIONS: dict[str, Callable[..., bool]] = {
    "opened": is_opened,
    "numbered": is_numbered,
    "within": is_within,
    "reached": has_reached,
    "judging": is_judging,
}


def plant(words: str) -> None:
    """Has this process stop once, as `words` say: the name of a condition, and what comes after the record."""
    name, *rest = words.split()
    condition, append, halts = CONDITIONS[name], Journal.append, [True]

    def append_and_halt(journal: Journal, record: Record) -> Record:
        appended = append(journal, record)
        if halts and condition(appended, *rest):
            halts.clear()
            os.kill(os.getpid(), signal.SIGSTOP)
        return appended

    Journal.append = append_and_halt  # type: ignore[assignment]
