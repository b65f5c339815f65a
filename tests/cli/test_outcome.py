from __future__ import annotations

import pytest

from mlsession.cli.outcome import error_line, exit_code
from mlsession.errors import (
    Cancelled,
    InternalError,
    Interrupted,
    InvalidParameter,
    SessionNotFound,
    SessionTakenOver,
    StoreFull,
    UnusableData,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidParameter("iterations", -1, "must be 1 or more"), 2),
        (UnusableData("animals", "there is no such folder"), 1),
        (SessionNotFound("there is no session"), 1),
        (StoreFull("no space"), 1),
        (Interrupted("signal SIGTERM"), 75),
        (Cancelled("another process asked"), 75),
        (SessionTakenOver("another writer has opened it"), 1),
        (InternalError("broken"), 1),
        (ZeroDivisionError("division by zero"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_errors_are_one_line_that_cannot_steer_a_terminal() -> None:
    error = UnusableData("cats\x1b[2J", "first\nsecond")
    error.add_note("recording that failed, too")
    assert error_line(error) == "error: cats\\x1b[2J: first second; recording that failed, too"


def test_a_stop_is_no_error() -> None:
    assert error_line(Interrupted("signal SIGTERM")) == "stopped: signal SIGTERM"
    assert error_line(KeyboardInterrupt()) == "stopped by hand"


def test_bugs_are_told_from_what_a_caller_can_mend() -> None:
    assert "--debug" in error_line(InternalError("broken"))
    assert error_line(ZeroDivisionError("by zero")).startswith("error: ZeroDivisionError: by zero (")
    assert error_line(AssertionError()).startswith("error: AssertionError (")
    assert "--debug" not in error_line(SessionNotFound("no session"))
    assert "memory" in error_line(MemoryError())
    nameless, named = OSError(28, "No space left on device"), OSError(28, "No space left on device", "/tmp/x")
    assert error_line(nameless).startswith("error: [Errno 28] No space left on device; free some space where the out")
    assert error_line(named).endswith("'/tmp/x'; free some space there, then run the same command again")


@pytest.mark.parametrize(
    ("parameter", "arguments", "begins"),
    [
        ("class_weight", ["train", "d", "--class-weight", "x=-1"], "error: --class-weight=3: no"),
        ("augmentation", ["train", "d", "--augment=spin"], "error: --augment=3: no"),
        ("layer-sizes", ["train", "d", "--layer-sizes", "a"], "error: --layer-sizes=3: no"),
        ("--on-modified-data", ["train", "d", "--on-modified-data=x"], "error: --on-modified-data=3: no"),
        ("min_confidence", ["predict", "m", "--", "--min-confidence"], "error: min_confidence=3: no"),
        ("tune", ["train", "d"], "error: tune=3: no"),
    ],
)
def test_an_option_is_called_as_it_was_typed(parameter: str, arguments: list[str], begins: str) -> None:
    assert error_line(InvalidParameter(parameter, 3, "no"), arguments) == begins
