from __future__ import annotations

from pathlib import Path

import pytest
import typer

from mlsession.cli.app import app
from mlsession.cli.naming import CLASSIFIER_OPTIONS, FIXED, TUNING_OPTIONS
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
from mlsession.heads.options import LogisticRegressor, MultilayerPerceptron, other_options
from mlsession.training.parameters import ModelParameters
from mlsession.training.tuning import OPTIONS
from tests.cli.commands import mlsession


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
        (InvalidParameter("path", "M.xyz", "no format"), "export s -- M.xyz", "'M.xyz': no format"),
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
        (
            IncompatibleParameters("algorithm.classifier.dropout", 0.25, 0.5, "x"),
            "train d --classifier mlp --classifier-option dropout=0.5",
            "--classifier-option dropout was 0.25 when",
        ),
        (
            IncompatibleParameters("algorithm.classifier.perceptron.weight_decay", 0.1, 0, "x"),
            "train d --classifier auto",
            "--classifier-option weight-decay was 0.1 when",
        ),
        (
            IncompatibleParameters("algorithm.finetune.mixup", 0.1, 0, "x"),
            "train d --fine-tune",
            "--fine-tune-option mixup was 0.1 when",
        ),
        (IncompatibleParameters("algorithm.finetune.epochs", 1, 2, "x"), "train d", "--epochs was 1 when"),
        (IncompatibleParameters("top_k", 1, 2, "x"), "predict m d --top-k 2", "--top-k was 1 when"),
        (IncompatibleParameters("task", "a", "b", "x"), "train d", "task was 'a' when"),
        (IncompatibleParameters("seed", 0, 3, "go back"), "resume d", "seed was 0 when"),
    ],
)
def test_what_was_typed_is_named_and_not_what_the_library_calls_it(error: Exception, line: str, said: str) -> None:
    assert error_line(error, line.split(" ")).startswith(f"error: {said}")


@pytest.mark.parametrize("parameter", ["key", "token", "url"])
@pytest.mark.parametrize("value", ["a:b.onnx", "MYSECRETKEY", "key=MYSECRETKEY", 3, None])
def test_no_error_shows_what_opens_a_store(parameter: str, value: object) -> None:
    """Of what was typed; a value that an error itself names is the library's to keep silent of."""
    for option in ("--storage-option key=MYSECRETKEY", "--storage-option=token=MYSECRETKEY"):
        line = f"train d --session s --export d/a:b.onnx {option}"
        said = error_line(InvalidParameter(parameter, value, "no"), line.split(" "))
        assert "storage-option" not in said
        assert "SECRET" not in said.replace(repr(value), "")
    said = error_line(InvalidParameter("url", "bad://x", "no"), ["train", "d", "--test=bad://ann:SECRET@x"])
    assert said == "error: --test='bad://x': no"


UNKNOWN = InvalidParameter("url", "bad://x", "no")


@pytest.mark.parametrize(
    ("error", "line", "said"),
    [
        *(
            (UNKNOWN, f"train d --session s --{name} bad://x", f"--{name}=")
            for name in ("test", "validation", "labels")
        ),
        (UNKNOWN, "train d --session s3://b/s --export bad://x", "--export="),
        (UNKNOWN, "predict m i --output bad://x --session s --cache c", "--output="),
        (UNKNOWN, "train d --session bad://x --test t", "--session="),
        (UNKNOWN, "train bad://x --session s", ""),
        (UNKNOWN, "train bad://x --session bad://x", ""),
        (UNKNOWN, "train d --session bad://x --cache bad://x", "--session='bad://x' or --cache="),
        *((UNKNOWN, f"{name} --json bad://x", "") for name in ("status", "scan", "stop", "mistakes", "export s")),
        (UNKNOWN, "evaluate s --errors bad://x", ""),
        (UNKNOWN, "status -- bad://x", ""),
    ],
)
def test_a_place_is_called_by_what_named_it(error: InvalidParameter, line: str, said: str) -> None:
    assert error_line(error, line.split(" ")) == f"error: {said}'bad://x': no"


@pytest.mark.parametrize(
    ("error", "line", "said"),
    [
        (InvalidParameter("key", "a:b.onnx", "no"), "train d --export e/a:b.onnx", "--export='e/a:b.onnx'"),
        (
            InvalidParameter("url", "bad://x", "no"),
            "train d --test t --labels bad://x/l.csv",
            "--labels='bad://x/l.csv'",
        ),
        (InvalidParameter("label", "d", "no"), "results s/d --errors", "label='d'"),
        (InvalidParameter("learning_rate", -1, "no"), "train d {of_head} --learning-rate 0.001", "{of_head}"),
        (InvalidParameter("learning_rate", 2.0, "no"), "train d {of_head} --learning-rate 2", "--learning-rate=2.0"),
        (InvalidParameter("learning_rate", 0.5, "no"), "train d {of_head} --learning-rate 2", "learning_rate=0.5"),
        (InvalidParameter("augmentation", "fliip", "no"), "train d --augment flip {of_tuning}", "{of_tuning}"),
        (InvalidParameter("augmentation", "flop", "no"), "train d --augment flip,flop {of_tuning}", "--augment='flop'"),
        (
            InvalidParameter("augmentation", "fliip", "no"),
            "train d --augment fliip {of_tuning}",
            "--augment='fliip' or {of_tuning}",
        ),
        (InvalidParameter("mean", "x", "no"), "train d {of_extractor}", "{of_extractor}"),
        (InvalidParameter("precision", "bfloat16", "no"), "train d --precision bf16-true", "--precision='bfloat16'"),
        (InvalidParameter("--verify-content", True, "no"), "predict m i --verify-content", "--verify-content"),
        (InvalidParameter("take_over", True, "no"), "worker s --take-over", "--take-over"),
    ],
)
def test_an_option_is_named_if_it_gave_the_value(error: InvalidParameter, line: str, said: str) -> None:
    typed = {
        "of_head": "--classifier-option learning-rate=-1",
        "of_tuning": "--fine-tune-option augmentation=fliip",
        "of_extractor": "--extractor-option mean=0.5,x,0.5",
    }
    assert error_line(error, line.format(**typed).split(" ")) == f"error: {said.format(**typed)}: no"


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_a_session_fixes_is_called_as_an_option_that_there_is(name: str) -> None:
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    option, *_ = FIXED[name].split(" ")
    assert option in {option for parameter in command.params for option in parameter.opts}


def test_the_names_that_options_of_the_classifier_and_of_fine_tuning_take() -> None:
    heads = {*other_options(LogisticRegressor()), *other_options(MultilayerPerceptron())}
    assert heads == set(CLASSIFIER_OPTIONS)
    assert {f"algorithm.finetune.{name}" for name in OPTIONS} <= FIXED.keys()
    assert set(TUNING_OPTIONS) <= set(OPTIONS)


def test_every_parameter_that_a_session_fixes_has_an_option() -> None:
    parameters = ModelParameters(
        augmentation=["flip"], allow_truncated=True, precision="float32", backend="torch", accelerator="cpu",
        decoder="pillow", groups="(a)",
    )  # fmt: skip
    fixed = {name for name in parameters.to_json() if name != "algorithm"}
    assert fixed | {f"algorithm.{name}" for name in parameters.to_json()["algorithm"]} <= FIXED.keys()  # type: ignore[union-attr]


def test_a_secret_stays_out_of_the_error_of_a_real_line(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "d" / label).mkdir(parents=True)
    line = ("train", "d", "--session", "s", "--export", "d/a:b.onnx", "--storage-option", "key=MYSECRETKEY")
    outcome = mlsession(*line, folder=tmp_path)
    assert outcome.code == 2
    assert outcome.err.startswith("error: --export='d/a:b.onnx': the part 'a:b.onnx' holds")
    assert "MYSECRETKEY" not in outcome.out + outcome.err
