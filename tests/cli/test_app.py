"""The command line in this process: what is refused, and what is said of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import mlsession
from mlsession.cli.__main__ import run
from mlsession.cli.app import app
from mlsession.cli.completion import command_words
from tests.photos import PHOTOS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line; gives exit code, standard output and standard error."""

    def command(*words: str) -> tuple[int, str, str]:
        code = run(words)
        found = capsys.readouterr()
        return code, found.out, found.err

    return command


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images that could be trained on; the current folder is the one above it."""
    folder = tmp_path / "fruits"
    for label in ("Kiwi", "Lemon"):
        (folder / label).mkdir(parents=True)
        shutil.copy(next((PHOTOS / "train" / label).iterdir()), folder / label)
    monkeypatch.chdir(tmp_path)
    return folder


def one_error(err: str) -> str:
    """The one line of an error."""
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    return err


COMMANDS = frozenset(command_words(typer.main.get_command(app))[""]) - {"--debug", "--help", "--version"}


def test_help_lists_the_commands(said: Run) -> None:
    for words in ([], ["--help"], ["-h"]):
        code, out, err = said(*words)
        assert (code, err) == (0 if words else 2, "")
        for command in COMMANDS:
            assert f"  {command} " in out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help(said: Run, command: str) -> None:
    code, out, err = said(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert command in out


def test_the_version(said: Run) -> None:
    assert said("--version") == (0, f"mlsession {mlsession.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "Did you mean 'train'?; see `mlsession --help`"),
        (["train"], "see `mlsession train --help`"),
        (["train", "fruits", "--zzz", "1"], "--zzz; see `mlsession train --help`"),
        (["train", "fruits", "--iterations", "many"], "--iterations"),
        (["train", "fruits", "--iterations", "-3"], "iterations=-3: must be a whole number of 1 or more"),
        (["train", "fruits", "--iterations", "0"], "iterations=0"),
        (["train", "fruits", "--report-interval", "0"], "--report-interval=0"),
        (["train", "fruits", "--checkpoint-interval", "often"], "checkpoint-interval='often'"),
        (["train", "fruits", "--checkpoint-interval", "0"], "must be"),
        (
            ["train", "fruits", "--validation", "1.5"],
            "--validation=1.5: must lie between 0 and 1; for no validation say none",
        ),
        (["train", "fruits", "--classifier", "forest"], "classifier='forest': choose logistic, mlp"),
        (["train", "fruits", "--layer-sizes", "9"], "layer-sizes='9': logistic has no hidden layers"),
        (["train", "fruits", "--extractor", "resnet"], "choose one of scene_print"),
        (["train", "fruits", "--session", "what://x"], "what:// is a scheme that nothing here knows"),
        (["train", "fruits", "--session", "fruits/s"], "lies in the data folder"),
        (["train", "fruits", "--session", ""], "is empty"),
        (["train", "fruits", "--storage-option", "secret"], "name=value"),
        (["train", "fruits", "--export", "model.h5"], "end it with .mlmodel, .mlpackage, .onnx, .pt2 or .safetensors"),
        (["train", "fruits", "--export", "what://x/m.mlmodel"], "what:// is a scheme"),
        (["train", "fruits", "--compress", "int8"], "--compress='int8': is of an exported model: add --export PATH"),
        (["train", "fruits", "--max-changed", "0.1"], "--max-changed=0.1: is of an exported model"),
        (["train", "fruits", "--format", "onnx"], "--format='onnx': is of an exported model"),
        (["train", "fruits", "--label-from", "columns:a,b"], "names columns of a manifest, and this is a folder"),
        (["scan", "fruits", "--label-from", "columns:a,b"], "names columns of a manifest, and this is a folder"),
        (["split", "m.csv", "--label-from", "name"], "--label-from='name': is of folders"),
        (["train", "fruits", "--export", "ok.mlmodel", "--export", "noext"], "--export='noext'"),
        (["export", "m.safetensors", "model.h5"], "end it with .mlmodel, .mlpackage, .onnx, .pt2 or .safetensors"),
        (["train", "fruits", "--export", "m.onnx", "--compress", "int8"], ".onnx files are not compressed"),
        (["export", "m.safetensors", "m.mlpackage", "--compress", "int3"], "must be one of float16, int8"),
        (["export", "m.safetensors", "m.mlmodel", "--compress", "int8", "--max-changed", "5"], "must be a share"),
        (["delete"], "see `mlsession delete --help`"),
        (["predict", "m.safetensors"], "PATH"),
    ],
)
def test_wrong_use_is_one_line_and_2(said: Run, data: Path, words: list[str], expected: str) -> None:
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert expected in one_error(err)
    assert [path.name for path in data.parent.iterdir()] == ["fruits"]  # nothing was begun


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "nowhere"], "there is no such folder"),
        (["train", "fruits/Kiwi"], "there are no images in folders here"),
        (["train", "fruits", "--test", "nowhere"], "there is no such folder"),
        (["train", "fruits", "--validation", "nowhere"], "there is no such folder"),
        (["status", "nowhere"], "there is no session"),
        (["delete", "nowhere", "--yes"], "there is no session"),
        (["evaluate", "nowhere", "fruits"], "neither a saved model"),
        (["evaluate", "nowhere.safetensors", "fruits"], "there is no such file"),
        (["predict", "nowhere", "x.jpg"], "neither a saved model"),
        (["export", "nowhere", "m.mlmodel"], "neither a saved model"),
    ],
)
def test_what_is_not_there_is_named(said: Run, data: Path, words: list[str], expected: str) -> None:
    code, out, err = said(*words)
    assert (code, out) == (1, "")
    assert expected in err
    assert "Traceback" not in err
    assert [path.name for path in data.parent.iterdir()] == ["fruits"]


def test_one_class_is_too_few(said: Run, data: Path) -> None:
    shutil.rmtree(data / "Kiwi")
    code, _, err = said("train", "fruits")
    assert code == 1
    assert "the only class is 'Lemon'" in one_error(err)


def test_an_empty_class_is_named(said: Run, data: Path) -> None:
    (data / "Mango\x1b").mkdir()
    code, _, err = said("train", "fruits")
    assert code == 1
    assert "holds no image" in one_error(err)
    assert "\x1b" not in err


def test_foreign_files_are_left_alone(said: Run, data: Path) -> None:
    (data.parent / "mine").mkdir()
    (data.parent / "mine" / "notes.txt").write_text("mine")
    for words in (["train", "fruits", "--session", "mine"], ["delete", "mine", "--yes"], ["status", "mine"]):
        code, out, err = said(*words)
        assert (code, out) == (1, "")
        assert "notes.txt" in err
    assert [path.name for path in (data.parent / "mine").iterdir()] == ["notes.txt"]


def test_a_store_that_cannot_be_written_is_named(said: Run, data: Path) -> None:
    (data.parent / "file").write_text("not a folder")
    code, _, err = said("train", "fruits", "--session", "file/session")
    assert code == 1
    assert str(data.parent / "file") in err
    assert "Traceback" not in err


def test_debug_shows_where_from_any_place(said: Run, data: Path) -> None:
    for words in (["--debug", "status", "nowhere"], ["status", "nowhere", "--debug"]):
        code, _, err = said(*words)
        assert code == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("error: there is no session")


def test_after_two_dashes_nothing_is_an_option(said: Run, data: Path) -> None:
    code, _, err = said("status", "--", "--debug")
    assert code == 1
    assert "there is no session" in one_error(err)


def test_a_stream_that_is_gone_is_no_bug(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    assert run(["status", "nowhere"]) == 1
    assert run(["train", "fruits", "--iterations", "0"]) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("train", "d", "--iterations", "many"), "--iterations='many': must be a whole number; see `mlsession train"),
        (("train", "d", "--learning-rate=x"), "--learning-rate='x': must be a number; see `mlsession train"),
        (("checkpoints", "remove", "s", "x"), "NUMBER: must be a whole number; see `mlsession checkpoints remove"),
        (("train", "d", "--export"), "Option '--export' requires an argument; see `mlsession train --help`"),
        (("checkpoints", "xyz"), "No such command 'xyz'; see `mlsession checkpoints --help`"),
    ],
)
def test_what_typer_refuses_is_said_in_our_words(said: Run, words: tuple[str, ...], reason: str) -> None:
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert one_error(err).removeprefix("error: ").startswith(reason)
