"""`mlsession predict` and `export`, in this process: torch is loaded once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from tests.cli.conftest import Trained

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


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
    assert run(["predict", "train.mlsession", "train"]) == 1
    assert capsys.readouterr().err.endswith(
        "is a folder, not a file; add --output TABLE.csv to predict all images in it\n"
    )


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


def test_a_table_of_predictions_and_its_session(
    folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["predict", "train.mlsession", "train", "--output", str(tmp_path / "r.csv"), "--cache", ".mlsession-cache"]
    for _ in range(2):
        assert run(line) == 0
        said = capsys.readouterr()
        first, *places = said.out.splitlines()
        assert first.startswith("predicted 12 images (1 cannot be read: the output says why): ")
        assert places[0].startswith(f"output: {tmp_path}/r.csv, ")
        assert places[1] == f"session: {tmp_path}/r.csv.mlsession"
    rows = [line.split(",") for line in (tmp_path / "r.csv").read_text().splitlines()]
    assert rows[0] == ["path", "label", "confidence", "reason"]
    assert sum(path.startswith(f"{label}/") for path, label, *_ in rows) == 12
    assert run(["status", f"{tmp_path}/r.csv.mlsession"]) == 0
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["images"].strip() == "13 of 13 done, 1 cannot be read"
    assert run(["status", f"{tmp_path}/r.csv.mlsession", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["counts"]) == ("finished", {"images": 13, "done": 13, "skipped": 1})
    assert (found["output"], found["data"]) == (f"{tmp_path}/r.csv", str(folder / "train"))
    members = DOCUMENT.split("`status` of a session of predictions")[1].split("\n\n")[0]
    assert all(f"`{name}`" in members for name in found)


@pytest.mark.parametrize(
    "words", [["--session", "s"], ["--top-k", "2"], ["--on-bad-image", "fail"], ["--cache", "none"], ["--take-over"]]
)
def test_what_only_a_table_takes_needs_an_output(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "train.mlsession", "x.jpg", *words]) == 2
    value = "=" if words[1:] else ": "  # A flag has none.
    assert f"{words[0]}{value}" in (said := capsys.readouterr().err)
    assert "add --output PATH" in said
