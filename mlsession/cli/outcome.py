"""How a command ends: errors become exit codes and one line each, here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from mlsession.cli.naming import error_words, fixed_words
from mlsession.cli.printing.text import one_line
from mlsession.errors import (
    Cancelled,
    IncompatibleParameters,
    InternalError,
    Interrupted,
    InvalidParameter,
    MLSessionError,
)

DONE = 0
FAILED = 1
WRONG_USE = 2
FOUND = 3
"""The command did its work, and found what it was told to fail on."""
RESUMABLE = 75
"""Stopped before it was done, with nothing lost: the same command goes on (EX_TEMPFAIL of sysexits.h)."""
STOPPED_BY_HAND = 130
"""Ctrl-C in a command that has nothing to save, as shells count it."""


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends the command with."""
    match error:
        case Interrupted() | Cancelled():
            return RESUMABLE
        case InvalidParameter():
            return WRONG_USE
        case KeyboardInterrupt():
            return STOPPED_BY_HAND
        case _:
            return FAILED


def _full_numbers() -> frozenset[int]:
    from mlsession.store.failures import FULL_NUMBERS

    return FULL_NUMBERS


def error_line(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """What is said of an error: one line with the cause and the cure, which names options of `arguments` as typed."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    match error:
        case Interrupted() | Cancelled():
            text = f"stopped: {error}{notes}"
        case KeyboardInterrupt():
            text = "stopped by hand"
        case InvalidParameter():
            text = f"error: {error_words(error, arguments)}{notes}"
        case IncompatibleParameters():
            text = f"error: {fixed_words(error, arguments)}{notes}"
        case InternalError():
            text = f"error: {error}{notes} (a bug in mlsession; `--debug` shows where)"
        case MLSessionError():
            text = f"error: {error}{notes}"
        case OSError() if error.errno in _full_numbers():
            # Without a name it is a file that has none, or one that a library or the shell has opened.
            where = "there" if error.filename else "where the output goes, or in the temporary folder (TMPDIR)"
            text = f"error: {error}{notes}; free some space {where}, then run the same command again"
        case OSError():
            text = f"error: {error}{notes} (`--debug` shows where)"
        case MemoryError():
            text = f"error: out of memory{notes}; close other programs, or use a machine with more"
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            text = f"error: {what}{notes} (not foreseen by mlsession; `--debug` shows where)"
    return one_line(text)
