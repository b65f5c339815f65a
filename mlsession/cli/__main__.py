"""Where the command `mlsession` begins and ends."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from mlsession.cli.app import parse, usage_error
from mlsession.cli.outcome import FAILED, RESUMABLE, WRONG_USE, error_line, exit_code
from mlsession.cli.printing.program import program
from mlsession.cli.printing.text import command_line, one_line


def main() -> None:
    """Runs the command line of this process, and ends it."""
    _open_closed_streams()
    # It logs failed requests with tracebacks, which Python shows where nobody asked for them; we say it in one line.
    logging.getLogger("gcsfs").addHandler(logging.NullHandler())
    leave(run(sys.argv[1:]))


def _open_closed_streams() -> None:
    """Puts nothing in place of standard streams that are closed, as `2>&-` does.

    Python has None for them, and a file that is opened later would get the number that libraries write messages to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def run(arguments: Sequence[str]) -> int:
    """Does what a command line says; returns the exit code. No error passes but the interpreter's own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A name that cannot be shown must not end a training.
    arguments, debug = _take_debug(arguments)
    try:
        code = parse(arguments)()
        sys.stdout.flush()
    except SystemExit:
        raise
    except BrokenPipeError:
        return _after_broken_pipe()
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return _report(error, arguments)
    return code


def _report(error: BaseException, arguments: Sequence[str]) -> int:
    """Says what went wrong; returns the exit code."""
    wrong_use = usage_error(error, arguments) if isinstance(error, Exception) else None
    try:
        if wrong_use is not None:
            sys.stderr.write(one_line(f"error: {wrong_use}") + "\n")
            return WRONG_USE
        code = exit_code(error)
        sys.stderr.write(error_line(error, arguments) + "\n")
        if code == RESUMABLE:
            # Taking over is a decision about one moment: who runs this line later must not inherit it.
            again = [word for word in arguments if word != "--take-over"]
            sys.stderr.write(f"to go on: {command_line([*program(), *again])}\n")
        sys.stderr.flush()
    except OSError:
        return exit_code(error)  # Nobody listens any more; the code still says it.
    return code


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, which may stand anywhere before a `--`, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*(word for word in arguments[:end] if word != "--debug"), *arguments[end:]], "--debug" in arguments[:end]


def _after_broken_pipe() -> int:
    """Whoever read the output has gone (such as `head`): not worth a word, but not all was delivered."""
    # Python flushes standard output when it ends, and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def leave(code: int) -> None:
    """Ends the process, at once if a thread of ours is stuck (a store that hangs): nobody waits for its outcome."""
    stuck = any(thread.name.startswith("mlsession-") for thread in threading.enumerate())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would fail at it again, with a traceback.
            stuck, code = True, code if stream is sys.stderr else code or FAILED
    if stuck:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
