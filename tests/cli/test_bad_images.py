"""What `mlsession train` does with images that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from tests.cli.conftest import LABELS, Trained
from tests.photos import copy_photos


def test_a_part_of_a_photo_counts_by_choice(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 4, LABELS)
    whole = min((photos / "Kiwi").iterdir()).read_bytes()
    (photos / "Kiwi" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    monkeypatch.chdir(tmp_path)
    line = ["train", "photos", "--iterations", "2", "--cache", str(trained.folder / ".mlsession-cache"), "--json"]
    assert run([*line, "--on-bad-image", "fail", "--allow-truncated"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["skipped"] == 0
    assert run([*line, "--on-bad-image", "perhaps"]) == 2
    assert "must be 'skip' or 'fail'" in capsys.readouterr().err
