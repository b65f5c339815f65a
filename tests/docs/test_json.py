"""docs/json.md states what the commands print for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon")

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


def stated() -> dict[str, set[str]]:
    """The members by command."""
    found: dict[str, set[str]] = {}
    for commands, members in re.findall(
        r"^\| ((?:`[^`]+`(?:, )?)+) \| (`.*) \|$", DOCUMENT.split("In these:")[0], re.MULTILINE
    ):
        for command in re.findall(r"`([^`]+)`", commands):
            found[command] = set(re.findall(r"`(\w+)`", members))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, and a session trained on them."""
    folder = tmp_path_factory.mktemp("json")
    copy_photos(folder / "train", "train", 4, LABELS)
    copy_photos(folder / "test", "test", 2, LABELS)
    return folder


def test_each_command_prints_the_stated_members(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    photo = next((folder / "test" / LABELS[0]).iterdir())
    lines = {
        "train": ["train", "train", "--session", "s", "--test", "test"],
        "status": ["status", "s"],
        "evaluate": ["evaluate", "s", "test"],
        "results": ["results", "s"],
        "mistakes": ["mistakes", "s"],
        "thresholds": ["thresholds", "s"],
        "predict": ["predict", "s", str(photo)],
        "predict --output": ["predict", "s", "test", "--output", "r.csv"],
        "export": ["export", "s", "m.safetensors"],
        "review": ["review", "s", "--output", "fixes.csv"],
        "scan": ["scan", "train", "--test", "test"],
        "split": ["split", "train"],
        "extractors": ["extractors"],
        "cache": ["cache"],
        "checkpoints list": ["checkpoints", "list", "s"],
        "checkpoints verify": ["checkpoints", "verify", "s", "--deep"],
        "checkpoints repair": ["checkpoints", "repair", "s"],
        "checkpoints gc": ["checkpoints", "gc", "s"],
        "checkpoints remove": ["checkpoints", "remove", "s", "--keep-last", "2", "--yes"],
        "stop": ["stop", "s"],
        "plot": ["plot", "s", "--history", "h.png", "--confusion", "c.png", "--reliability", "r.png"],
        "augment-preview": ["augment-preview", "train", "--augment", "flip", "--output", "sheet.png", "--images", "1"],
    }
    # A learning curve takes more images than these; tests/cli/test_learning.py compares its members.
    assert {*lines, "learning-curve"} == stated().keys()
    for command, line in lines.items():
        code = run([*line, "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        members = json.loads(said.out)
        assert set(members) == stated()[command], command
        for metrics in (members.get("metrics") or {}).values() if command == "status" else ():
            for name in metrics or ():
                assert f"`{name}`" in DOCUMENT
