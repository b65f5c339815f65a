"""The verdict on a model, as commands print it; the command that it ends with is run as it stands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from mlsession.advising.advice import Advice, Lever, Severity, Verdict
from mlsession.cli.__main__ import run
from mlsession.cli.printing.advice import advice_lines, advice_rows
from tests.cli.conftest import Trained


def verdict(**parts: object) -> Verdict:
    given: dict[str, object] = {
        "rule": "weak_class",
        "severity": Severity.PROVEN,
        "limit": "class a\x1b[31m is told worse",
        "evidence": "60.0 % (12 of 20) right",
        "next_step": "add images; this lists them:",
        "command": ("results", "s3://key:secret@bucket/s", "--label", "it's a"),
        "lever": Lever.IMAGES,
        **parts,
    }
    return Verdict(advice=Advice(**given))  # type: ignore[arg-type]


def test_it_takes_four_lines_at_most() -> None:
    lines = advice_lines(verdict(), ["--storage-option=token=abc"])
    assert [line.split(":")[0].strip() for line in lines[:3]] == ["advice", "why", "try"]
    assert len(lines) == 4
    assert "\x1b" not in "".join(lines)
    assert "secret" not in lines[3]
    assert "abc" not in lines[3]
    assert shlex.split(lines[3])[-3:] == ["--label", "it's a", "--storage-option=token=***"]
    assert len(advice_lines(verdict(command=()))) == 3
    assert [name for name, _ in advice_rows(verdict())] == ["advice", "", "", ""]


def test_train_and_status_end_with_it(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained.folder)
    said = trained.outcome.out.splitlines()
    advice = said[-next(place for place, line in enumerate(reversed(said), 1) if line.startswith("advice: ")) :]
    assert 3 <= len(advice) <= 4
    assert [line.split(":")[0].strip() for line in advice[1:3]] == ["why", "try"]
    assert run(["status", "train.mlsession"]) == 0
    assert advice[0].removeprefix("advice: ") in capsys.readouterr().out
    assert run(["status", "train.mlsession", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["advice"]
    assert found["limit"] == advice[0].removeprefix("advice: ")
    assert {"rule", "severity", "limit", "evidence", "next_step", "command", "gain", "others"} == found.keys()


def test_the_commands_run_as_they_stand(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a session that was just trained: each is known here, takes these options, and ends well."""
    monkeypatch.chdir(trained.folder)
    assert run(["status", "train.mlsession", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["advice"]
    lines = [each["command"] for each in (found, *found["others"]) if each["command"]]
    assert lines
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "mlsession"
        assert run([*words[1:], *(["--session", "again"] if words[1] == "train" else [])]) == 0, line
