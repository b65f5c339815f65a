"""`mlsession evaluate`, `results` and `plot`, in this process: torch is loaded once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from tests.cli.conftest import LABELS, Trained

MEMBERS = {"path", "label", "predicted", "confidence", "correct", "rank", "truth_confidence", "top"}


@pytest.fixture
def folder(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained.folder)
    return trained.folder


@pytest.fixture
def mislabelled(folder: Path, tmp_path: Path) -> Path:
    """A kiwi and a tomato that are said to be lemons, and a lemon."""
    (tmp_path / "photos" / "Lemon").mkdir(parents=True)
    for name, label in (("kiwi\x1b.jpg", "Kiwi"), ("lemon.jpg", "Lemon"), ("tomato.jpg", "Tomato")):
        photo = sorted((folder / "train" / label).glob("[!t]*.jpg"))[0]
        (tmp_path / "photos" / "Lemon" / name).write_bytes(photo.read_bytes())
    return tmp_path / "photos"


def test_evaluate_prints_every_prediction(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained.model), "train", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == list(LABELS)
    assert found["accuracy"] == found["metrics"]["accuracy"] == 1.0
    assert found["metrics"]["top_k_accuracy"] == {"1": 1.0, "3": 1.0}
    assert len(found["predictions"]) == 12
    for prediction in found["predictions"]:
        assert prediction.keys() == MEMBERS
        assert prediction["path"].startswith(f"{prediction['label']}/")
    assert [skipped["path"] for skipped in found["skipped"]] == ["Kiwi/torn.jpg"]


def test_evaluate_for_people(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "train.mlsession", "train", "--top", "2"]) == 0
    found = capsys.readouterr()
    assert found.out.startswith("accuracy 100.0 % (12 of 12)")
    assert "always saying the commonest class: 33.3 %" in found.out
    assert "top-2 accuracy 100.0 %" in found.out
    assert "precision" in found.out
    assert "skipped Kiwi/torn.jpg: " in found.err


def test_wrong_predictions_are_named(mislabelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "train.mlsession", str(mislabelled), "--errors", "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert "most often confused: Lemon taken for Kiwi (1), Lemon taken for Tomato (1)" in out
    heading, *wrong = out.partition("2 images predicted wrongly:")[2].splitlines()
    assert heading == ""
    assert sorted(line.split(":")[0] for line in wrong) == ["  Lemon/kiwi\\x1b.jpg", "  Lemon/tomato.jpg"]
    assert all("(is Lemon, " in line for line in wrong)
    shares = [float(line.split()[2]) for line in wrong]
    assert shares == sorted(shares, reverse=True)


def test_an_unknown_label_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Mango").mkdir()
    (tmp_path / "Mango" / "m.jpg").write_bytes(b"x")
    assert run(["evaluate", "train.mlsession", str(tmp_path)]) == 1
    assert "does not know the label 'Mango'" in capsys.readouterr().err
    assert run(["evaluate", "train.mlsession", str(tmp_path), "--top", "0"]) == 2


def test_results_lead_to_the_images(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    with ml.Classifier.restore_training_session(ml.SessionParameters(trained.session)) as session:
        checkpoint = session.checkpoints[-1].url
    for source in ("train.mlsession", checkpoint):
        assert run(["results", source, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["part"], found["count"], len(found["images"])) == ("test", 6, 6)
        assert {image["path"].split("/")[0] for image in found["images"]} == set(LABELS)
        assert all(image.keys() == MEMBERS for image in found["images"])
    assert run(["results", "train.mlsession", "--part", "training", "--label", "Kiwi"]) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 4
    assert all(line.startswith("Kiwi/") for line in output.out.splitlines())
    assert output.err == "4 training images, 0 predicted wrongly\n"
    assert run(["results", "train.mlsession", "--part", "training", "--errors"]) == 0
    assert capsys.readouterr().out == ""


def test_results_that_there_are_not(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["results", str(trained.model)]) == 1
    assert "no results of test images are stored" in capsys.readouterr().err
    assert run(["results", "train.mlsession", "--part", "validation"]) == 1
    assert run(["results", "train.mlsession", "--part", "holdout"]) == 2
    assert run(["results", "train.mlsession", "--predicted", "Mango"]) == 2
    assert "the classifier knows Kiwi, Lemon, Tomato" in capsys.readouterr().err


def test_plots_are_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history, confusion = str(tmp_path / "history.svg"), str(tmp_path / "confusion.png")
    assert run(["plot", "train.mlsession", "--history", history, "--confusion", confusion, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"history": history, "confusion": confusion}
    assert Path(history).read_bytes().startswith(b"<?xml")
    assert Path(confusion).read_bytes().startswith(b"\x89PNG")
    assert run(["plot", "train.mlsession", "--confusion", confusion, "--part", "training", "--normalize"]) == 0
    assert capsys.readouterr().out == f"drew {confusion}\n"


def test_what_is_not_to_be_drawn(
    folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plot", "train.mlsession"]) == 2
    assert "--history PATH" in capsys.readouterr().err
    assert run(["plot", "nothing", "--history", "curve.txt"]) == 2
    assert "must end in .png" in capsys.readouterr().err
    assert run(["plot", str(trained.model), "--history", str(tmp_path / "h.png")]) == 1
    assert "no history" in capsys.readouterr().err
