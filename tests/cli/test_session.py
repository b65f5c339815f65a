"""`mlsession status` and `delete`."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from tests.cli.conftest import Trained


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A session that a test may delete."""
    return Path(shutil.copytree(trained.session, tmp_path / "session"))


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_status_for_programs(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(trained.session), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["url"] == str(trained.session)
    assert (found["status"], found["phase"], found["limit"]) == ("finished", "evaluating", 25)
    assert found["counts"] == {"train": 12, "validation": 0, "test": 6, "skipped": 1}
    assert found["metrics"]["validation"] is None
    assert found["metrics"]["training"]["accuracy"] == 1.0
    assert found["metrics"]["test"]["log_loss"] > 0
    assert found["heartbeat_age"] is None
    assert [image["path"] for image in found["skipped"]] == ["Kiwi/torn.jpg"]
    assert [(finding["kind"], finding["severity"]) for finding in found["findings"]] == [("tiny_classes", "warning")]
    numbers = [checkpoint["number"] for checkpoint in found["checkpoints"]]
    assert numbers == sorted(numbers)
    newest = found["checkpoints"][-1]
    assert newest.keys() == {"number", "phase", "iteration", "date", "metrics", "url"}
    assert Path(newest["url"]).is_file()


def test_status_for_people(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(trained.session)]) == 0
    out = capsys.readouterr().out
    assert "finished" in out
    assert "12 to train, 0 to validate, 6 to test, 1 skipped" in out
    words = " ".join(out.split())
    assert "warning 3 classes (Lemon 4, Tomato 4, Kiwi 5) have fewer than 10 images" in words
    assert "Kiwi/torn.jpg" in out


def test_delete_takes_the_session_and_nothing_else(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "notes.txt").write_text("mine")
    assert run(["delete", str(copied), "--yes"]) == 0
    found = capsys.readouterr()
    assert found.out.startswith(f"deleted {copied}: ")
    assert "kept 1 file there that no session wrote, such as notes.txt" in found.err
    assert [path.name for path in copied.iterdir()] == ["notes.txt"]


def test_delete_takes_the_folder_too(copied: Path) -> None:
    assert run(["delete", str(copied), "--yes"]) == 0
    assert not copied.exists()
    assert copied.parent.exists()


def test_delete_without_a_terminal_needs_yes(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run(["delete", str(copied)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert (copied / "log").is_dir()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_delete_asks_on_a_terminal(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    assert run(["delete", str(copied)]) == code
    assert "for good? [y/N]" in capsys.readouterr().err
    assert copied.exists() == (code == 1)
