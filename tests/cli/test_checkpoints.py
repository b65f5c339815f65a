"""`mlsession checkpoints list`, `remove` and `verify`, and what `train` keeps."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.errors import NoUsableCheckpoint
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from mlsession.training.classifier import Classifier
from tests.cli.conftest import Trained
from tests.cli.test_session import Keyboard
from tests.session.attempts import attempt_on


@pytest.fixture
def walked(tmp_path: Path) -> Path:
    """A session with checkpoints 2 to 11 of walking, 12 and 13 of summing."""
    folder = tmp_path / "walked"
    attempt = attempt_on(MemorySpace(), 1)
    attempt.open_store = lambda: LocalStore(folder)
    attempt.walk(Walk(limit=10))
    return folder


def listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[int]:
    capsys.readouterr()
    assert run(["checkpoints", "list", str(folder), "--json"]) == 0
    return [checkpoint["number"] for checkpoint in json.loads(capsys.readouterr().out)["checkpoints"]]


def test_list_for_programs(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored_bytes(LocalStore(walked))
    assert run(["checkpoints", "list", str(walked), "--json"]) == 0
    checkpoints = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [checkpoint["number"] for checkpoint in checkpoints] == list(range(2, 14))
    assert checkpoints[0].keys() == {"number", "phase", "iteration", "date", "metrics", "url"}
    assert Path(checkpoints[0]["url"]).is_file()
    assert stored_bytes(LocalStore(walked)) == before


def test_list_for_people(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoints", "list", str(walked)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["number", "phase", "iteration", "date", "(UTC)", "metrics"]
    assert [row.split()[:3] for row in rows[:2]] == [["2", "walking", "1"], ["3", "walking", "2"]]
    assert len(rows) == 12
    assert "total" in rows[0]


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["4", "5"], [4, 5]),
        (["--before", "2"], [2, 12]),
        (["--before", "4", "--phase", "walking"], [2, 3, 4]),
        (["--keep-last", "3"], [2, 3, 4, 5, 6, 7, 8]),
        (["--keep-last", "3", "--before", "3"], [2, 3]),
        (["--phase", "other"], []),
    ],
)
def test_remove_what_meets_all_that_is_said(
    walked: Path, capsys: pytest.CaptureFixture[str], words: list[str], gone: list[int]
) -> None:
    assert run(["checkpoints", "remove", str(walked), *words, "--yes", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [checkpoint["number"] for checkpoint in out["removed"]] == gone
    assert out["kept"] == []
    assert listed(walked, capsys) == [number for number in range(2, 14) if number not in gone]
    assert run(["checkpoints", "verify", str(walked)]) == 0


def test_what_is_needed_is_kept_and_said(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoints", "remove", str(walked), "--phase", "walking", "--yes"]) == 0
    found = capsys.readouterr()
    assert found.out == f"removed 9 checkpoints of {walked}\n"
    assert "kept 11: going on, or a checkpoint that stays, rests on it" in found.err
    assert listed(walked, capsys) == [11, 12, 13]


def test_remove_needs_to_be_told_what(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored_bytes(LocalStore(walked))
    for words, said in (
        ([], "--keep-last"),
        (["99"], "no such checkpoint"),
        (["--keep-last", "1"], "2 or more"),
        (["--keep-best", "0"], "1 or more"),
    ):
        assert run(["checkpoints", "remove", str(walked), *words, "--yes"]) == 2
        assert said in capsys.readouterr().err
    assert stored_bytes(LocalStore(walked)) == before


def test_remove_without_a_terminal_needs_yes(
    walked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run(["checkpoints", "remove", str(walked), "3"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert len(listed(walked, capsys)) == 12


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_remove_asks_on_a_terminal(
    walked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    assert run(["checkpoints", "remove", str(walked), "3"]) == code
    assert "remove 1 checkpoint of" in capsys.readouterr().err
    assert len(listed(walked, capsys)) == 11 + code


def test_verify_says_what_is_damaged(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoints", "verify", str(walked)]) == 0
    assert "12 checkpoints" in (out := capsys.readouterr().out)
    assert "all whole" in out
    (state, *_) = sorted((walked / "blobs" / "0000000001").glob("0000000004-*"))
    state.write_bytes(b"x")
    assert run(["checkpoints", "verify", str(walked)]) == 1
    out = capsys.readouterr().out
    assert "1 place damaged" in out
    assert f"record 4: blobs/0000000001/{state.name}: it has 1 bytes in place of" in out
    assert run(["checkpoints", "verify", str(walked), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["checkpoint"] == 4


@pytest.mark.parametrize("command", ["list", "remove", "verify"])
def test_where_there_is_no_session(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    words = ["3", "--yes"] if command == "remove" else []
    assert run(["checkpoints", command, str(tmp_path / "nothing"), *words]) == 1
    assert "there is no session at" in capsys.readouterr().err


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoints"]) == 2
    assert "verify" in capsys.readouterr().out


def test_train_keeps_to_a_rule_and_its_session_stays_finished(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    session = tmp_path / "kept"
    words = ["--session", str(session), "--checkpoint-interval", "1", "--iterations", "8"]
    line = ["train", "train", *words, "--keep-last", "3", "--keep-best", "1", "--json"]
    assert run(line) == 0
    first = json.loads(capsys.readouterr().out)
    training = [item for item in first["checkpoints"] if item["phase"] == "training"]
    iterations = [item["iteration"] for item in training]
    assert iterations[-3:] == list(range(iterations[-1] - 2, iterations[-1] + 1))
    assert len(iterations) <= 4
    assert not {item["phase"] for item in first["checkpoints"]} - {"extracting", "selecting", "training", "evaluating"}

    assert run(["checkpoints", "remove", str(session), str(training[0]["number"]), "--yes"]) == 0
    with pytest.raises(NoUsableCheckpoint, match="was removed"):
        Classifier.from_checkpoint(training[0]["url"])
    capsys.readouterr()
    assert run(["status", str(session), "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert (after["status"], after["model_digest"]) == ("finished", first["model_digest"])
