from __future__ import annotations

import pytest
import typer

from mlsession.cli.app import app
from mlsession.cli.naming import FIXED
from mlsession.cli.outcome import error_line, exit_code
from mlsession.errors import (
    Cancelled,
    IncompatibleParameters,
    InternalError,
    Interrupted,
    InvalidParameter,
    SessionNotFound,
    SessionTakenOver,
    StoreFull,
    UnusableData,
)
from mlsession.training.parameters import ModelParameters


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


@pytest.mark.parametrize(
    ("error", "line", "said"),
    [
        (InvalidParameter("path", "M.xyz", "no format"), "train d --export M.xyz", "--export='M.xyz': no format"),
        (InvalidParameter("path", "M.xyz", "no format"), "train d --export=M.xyz", "--export='M.xyz': no format"),
        (InvalidParameter("path", "M.xyz", "no format"), "export s M.xyz", "'M.xyz': no format"),
        (InvalidParameter("path", "M.xyz", "no format"), "export s -- M.xyz", "path='M.xyz': no format"),
        (InvalidParameter("groups", "(", "no"), "split d --group-by (", "--group-by='(': no"),
        (InvalidParameter("mixup", -3, "no"), "train d --fine-tune-option mixup=-3", "--fine-tune-option mixup=-3: no"),
        (
            InvalidParameter("layer_decay", 7, "no"),
            "train d --fine-tune-option=layer-decay=7",
            "--fine-tune-option layer-decay=7: no",
        ),
        (InvalidParameter("history", None, "say where"), "plot s", "say where"),
        (InvalidParameter("url", "", "is empty"), "train d --session=", "--session='': is empty"),
        (IncompatibleParameters("seed", 0, 3, "go back"), "train d --seed 3", "--seed was 0 when"),
        (
            IncompatibleParameters("validation.ratio", 0.1, 0.2, "go back"),
            "train d",
            "--validation (ratio) was 0.1 when",
        ),
        (IncompatibleParameters("algorithm.classifier.kind", 1, 2, "x"), "train d", "--classifier (kind) was 1 when"),
        (IncompatibleParameters("algorithm.finetune.epochs", 1, 2, "x"), "train d", "--epochs was 1 when"),
        (IncompatibleParameters("top_k", 1, 2, "x"), "predict m d --top-k 2", "--top-k was 1 when"),
        (IncompatibleParameters("task", "a", "b", "x"), "train d", "task was 'a' when"),
        (IncompatibleParameters("seed", 0, 3, "go back"), "resume d", "seed was 0 when"),
    ],
)
def test_what_was_typed_is_named_and_not_what_the_library_calls_it(error: Exception, line: str, said: str) -> None:
    assert error_line(error, line.split(" ")).startswith(f"error: {said}")


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_a_session_fixes_is_called_as_an_option_that_there_is(name: str) -> None:
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    assert FIXED[name] in {option for parameter in command.params for option in parameter.opts}


def test_every_parameter_that_a_session_fixes_has_an_option() -> None:
    parameters = ModelParameters(
        augmentation=["flip"], allow_truncated=True, precision="float32", backend="torch", accelerator="cpu",
        decoder="pillow", groups="(a)",
    )  # fmt: skip
    fixed = {name for name in parameters.to_json() if name != "algorithm"}
    assert fixed | {f"algorithm.{name}" for name in parameters.to_json()["algorithm"]} <= FIXED.keys()  # type: ignore[union-attr]
