"""`mlsession predict` and `export`, in this process: torch is loaded once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from tests.cli.conftest import Trained


@pytest.fixture
def folder(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained.folder)
    return trained.folder


@pytest.mark.parametrize("kind", ["model", "session", "checkpoint"])
def test_predict_takes_models_sessions_and_checkpoints(
    folder: Path, trained: Trained, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ml.Classifier.restore_training_session(ml.SessionParameters(trained.session)) as session:
        checkpoint = session.checkpoints[-1].url
    source = {"model": str(trained.model), "session": "train.mlsession", "checkpoint": checkpoint}[kind]
    photo = str(next((folder / "train" / "Lemon").iterdir()))
    assert run(["predict", source, photo, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["path"], found["label"]) == (photo, "Lemon")
    assert found["top"][0] == {"label": "Lemon", "confidence": found["confidence"]}
    assert sum(each["confidence"] for each in found["top"]) == pytest.approx(1.0)


def test_one_bad_image_does_not_keep_the_others(
    folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(next((folder / "train" / "Lemon").iterdir()))
    bad = ["nowhere.jpg", "train/Kiwi/torn.jpg", "train", "what://x/y.jpg"]
    assert run(["predict", "train.mlsession", *bad, photo, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == [*bad, photo]
    for line in lines[:-1]:
        assert line.keys() == {"path", "error"}
    assert lines[-1]["label"] == "Lemon"


def test_predict_for_people(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(next((folder / "train" / "Lemon").iterdir()))
    assert run(["predict", "train.mlsession", photo, "train/Kiwi/torn.jpg"]) == 1
    found = capsys.readouterr()
    assert found.out.startswith(f"{photo}: Lemon ")
    assert len(found.out.splitlines()) == 1
    assert found.err.startswith("error: train/Kiwi/torn.jpg: ")


def test_an_extracting_checkpoint_gives_no_model(
    folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    with ml.Classifier.restore_training_session(ml.SessionParameters(trained.session)) as session:
        checkpoint = session.checkpoints[0]
    assert checkpoint.phase == "extracting"
    assert run(["predict", checkpoint.url, "x.jpg"]) == 1
    assert "no classifier yet" in capsys.readouterr().err


def test_export_writes_every_path(
    folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(tmp_path / "a" / "m.safetensors"), str(tmp_path / "b" / "m.SafeTensors")]
    assert run(["export", "train.mlsession", *paths, "--author", "A. Tester", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == paths
    for path, line in zip(paths, lines, strict=True):
        assert line["verified"] is True
        assert line["size_bytes"] == Path(path).stat().st_size
        assert b"A. Tester" in Path(path).read_bytes()
    assert run(["export", str(trained.model), paths[0]]) == 0
    assert capsys.readouterr().out.startswith(f"exported {paths[0]}: mlsession classifier, ")
