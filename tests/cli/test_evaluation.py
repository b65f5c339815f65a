"""`mlsession evaluate`, `results` and `plot`, in this process: torch is loaded once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.cli.running.mistakes import mistake_lines, table_of
from mlsession.metrics.images import ImageResults, result_columns
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
    assert run(["plot", "train.mlsession", "--reliability", str(tmp_path / "r.png"), "--part", "training"]) == 0
    assert capsys.readouterr().out == f"drew {tmp_path / 'r.png'}\n"
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


def test_details_are_for_whoever_asks(mislabelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "train.mlsession", str(mislabelled), "--details"]) == 0
    out = capsys.readouterr().out
    for heading in ("macro average", "confidence      images", "leave out what is less sure", "hardest to decide:"):
        assert heading in out
    assert "Lemon taken for Kiwi, 1 (33.3 % of Lemon): Lemon/kiwi\\x1b.jpg" in out
    assert run(["evaluate", "train.mlsession", str(mislabelled)]) == 0
    assert "macro average" not in capsys.readouterr().out


def test_mistakes_of_a_session(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "images.csv"
    assert run(["mistakes", "train.mlsession", "--most", "2", "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 test images, ")
    hesitant = out.partition("hardest to decide:\n")[2].partition("\n\n")[0].splitlines()
    assert len(hesitant) == 2
    assert f"wrote {table}: 6 images" in out
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    assert header == "path,label,predicted,confidence,correct,rank,truth_confidence,margin"
    assert len(rows) == 6
    correct = [row.split(",")[4] for row in rows]
    assert correct == sorted(correct)
    margins = [float(row.split(",")[7]) for row in rows if row.split(",")[4] == "True"]
    assert margins == sorted(margins)
    assert run(["mistakes", "train.mlsession", "--part", "training", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["part"], found["count"], len(found["hesitant"])) == ("training", 12, 5)
    assert found["top_confusions"] == found["confident_mistakes"] == []
    assert run(["mistakes", "train.mlsession", "--most", "0"]) == 2


def test_mistakes_lead_to_their_images() -> None:
    truth = np.array([0, 0, 0, 0, 0, 1])
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1], [0.51, 0.49]])
    paths = tuple(f"{place}.jpg" for place in range(6))
    images = ImageResults(classes=("cat", "dog\x1b"), paths=paths, columns=result_columns(truth, probabilities))
    lines = mistake_lines(images, 2)
    assert "  cat taken for dog\\x1b, 4 (80.0 % of cat): 1.jpg, 3.jpg, 2.jpg, and 1 more" in lines
    assert "  1.jpg: dog\\x1b 90.0 % (is cat, 10.0 %)" in lines
    assert "  5.jpg: cat 51.0 %, dog\\x1b 49.0 % (is dog\\x1b, 49.0 %)" in lines
    assert [row.split(",")[0] for row in table_of(images).decode().splitlines()[1:]] == [
        *("1.jpg", "3.jpg", "2.jpg", "0.jpg", "5.jpg", "4.jpg")
    ]


def test_a_name_in_the_table_is_no_formula() -> None:
    columns = result_columns(np.array([0]), np.array([[0.75, 0.25]]))
    table = table_of(ImageResults(classes=("a", "b"), paths=("=1+1/x.jpg",), columns=columns))
    assert table.decode().splitlines()[1].startswith("./=1+1/x.jpg,")


def test_thresholds_of_a_session(folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["thresholds", "train.mlsession", "--part", "training", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["part"], found["count"], found["min_precision"]) == ("training", 12, 0.95)
    assert set(found["labels"]) == set(LABELS)
    metrics = ml.Classifier.load(trained.session).training_metrics
    expected = metrics.threshold("Kiwi", min_precision=0.95)
    assert found["labels"]["Kiwi"] == expected.to_json()
    assert found["rejections"]["0.01"] == metrics.reject(max_error=0.01).to_json()
    assert run(["thresholds", "train.mlsession", "--part", "training"]) == 0
    assert "\nthe model was trained on these, and is less often right on others" in capsys.readouterr().out
    assert run(["thresholds", "train.mlsession", "--min-recall", "0.5", "--max-error", "0.5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("on 6 test images")
    assert "trained on these" not in out
    assert "recall 0.5 or more" in out
    assert all(any(line.startswith(label) for line in out.splitlines()) for label in LABELS)
    for wrong in (["--min-recall", "1", "--min-precision", "1"], ["--min-recall", "2"], ["--max-error", "-1"]):
        assert run(["thresholds", "train.mlsession", *wrong]) == 2
    assert run(["thresholds", "train.mlsession", "--part", "validation"]) == 1
    assert run(["thresholds", str(trained.model)]) == 1


def test_what_is_unsure_gets_no_label(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(next((folder / "test" / "Kiwi").iterdir()))
    assert run(["predict", "train.mlsession", photo, "--min-confidence", "1"]) == 0
    assert f"{photo}: unsure: Kiwi " in capsys.readouterr().out
    assert run(["predict", "train.mlsession", photo, "--min-confidence", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["label"], said["top"][0]["label"]) == (None, "Kiwi")
    assert run(["predict", "train.mlsession", photo, "--min-confidence", "0.01"]) == 0
    assert "unsure" not in capsys.readouterr().out
    assert run(["predict", "train.mlsession", photo, "--min-confidence", "1.5"]) == 2
    capsys.readouterr()
    output = tmp_path / "said.csv"
    line = ["predict", "train.mlsession", "test", "--output", str(output), "--json", "--min-confidence"]
    reports = []
    for least in ("1", "0"):
        assert run([*line, least]) == 0
        reports.append(json.loads(capsys.readouterr().out))
        rows = output.read_text(encoding="utf-8").splitlines()[1:]
        assert sum("less sure than 1: " in row for row in rows) == reports[-1]["rejected"]
    unsure, sure = reports
    assert (unsure["predicted"], unsure["rejected"], sum(unsure["counts"].values())) == (0, 6, 0)
    assert (sure["predicted"], sure["rejected"], sum(sure["counts"].values())) == (6, 0, 6)
