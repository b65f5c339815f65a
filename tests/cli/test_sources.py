"""Labelled images as every command takes them: folders, names of files, manifests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from tests.cli.conftest import LABELS, Trained


@pytest.fixture
def flat(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The training photos in one folder, with a manifest of the test photos beside it; the current folder."""
    (tmp_path / "photos").mkdir()
    for path in (trained.folder / "train").glob("*/*_*.jpg"):
        shutil.copy(path, tmp_path / "photos" / f"{path.parent.name}.{path.name}")
    lines = [f"{path},{path.parent.name}\n" for path in sorted((trained.folder / "test").glob("*/*.jpg"))]
    (tmp_path / "test.csv").write_text("path,label\n" + "".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("flat")
def test_training_and_measuring_on_names_and_manifests(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "photos", "--iterations", "2", "--cache", str(trained.folder / ".mlsession-cache"), "--json"]
    assert run([*line, "--test", "test.csv"]) == 1
    assert "use DataSource.labeled_files (--label-from name)" in capsys.readouterr().err
    assert run([*line, "--test", "test.csv", "--label-from", "name"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == list(LABELS)
    assert found["counts"] == {"train": 12, "validation": 0, "test": 6, "skipped": 0}
    assert Path("photos.mlsession").is_dir()
    assert run(["evaluate", "photos.mlsession", "test.csv", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 6
    assert run(["evaluate", "photos.mlsession", "photos", "--label-from", "name", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 12
    assert run([*line[:1], "test.csv", *line[2:], "--validation", "test.csv"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["validation"] == 6
    assert Path("test.mlsession").is_dir()


def test_a_wrong_manifest_is_named_with_its_line(flat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (flat / "test.csv").write_text("path,label\na.jpg\n")
    for words in (["train", "test.csv"], ["train", "photos", "--label-from", "name", "--test", "test.csv"]):
        assert run(words) == 1
        assert capsys.readouterr().err == (
            f"error: {flat / 'test.csv'}: line 2 has 1 fields, and the header has 2; quote fields that hold a comma\n"
        )


def test_changed_images_are_refused_taken_on_or_ignored(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.folder / "train", tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    cache = str(trained.folder / ".mlsession-cache")
    line = ["train", "train", "--iterations", "2", "--cache", cache, "--json"]
    assert run(line) == 0
    before = json.loads(capsys.readouterr().out)
    photo = next((trained.folder / "test" / LABELS[0]).iterdir())
    shutil.copy(photo, tmp_path / "train" / LABELS[0] / "new.jpg")
    assert run(line) == 1
    assert "--on-modified-data update" in capsys.readouterr().err
    assert run([*line, "--on-modified-data", "ignore"]) == 0
    assert json.loads(capsys.readouterr().out)["model_digest"] == before["model_digest"]
    assert run([*line, "--on-modified-data", "update"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["counts"]["train"] == before["counts"]["train"] + 1
    assert after["model_digest"] != before["model_digest"]
    assert run([*line, "--on-modified-data", "perhaps"]) == 2
    assert "must be fail, update or ignore" in capsys.readouterr().err


def test_divided_data_are_used_as_what_they_are(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        shutil.copytree(trained.folder / part, tmp_path / "fruit" / part)
    monkeypatch.chdir(tmp_path)
    line = ["train", "fruit", "--iterations", "2", "--cache", str(trained.folder / ".mlsession-cache"), "--json"]
    assert run(line) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["counts"] == {"train": 12, "validation": 0, "test": 6, "skipped": 1}
    root = tmp_path / "fruit"
    assert f"data: divided already; {root}/train to train on, {root}/test to test on\n" in said.err
    assert run(["evaluate", "fruit.mlsession", "fruit", "--json"]) == 1
    assert f"anything else wants one of them, such as {root}/train\n" in capsys.readouterr().err
