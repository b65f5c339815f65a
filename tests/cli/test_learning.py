"""`mlsession learning-curve`, and views averaged over, as a user types them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.errors import UnusableData, UsageError
from tests.cli.conftest import LABELS
from tests.docs.test_json import stated
from tests.photos import copy_photos

pytestmark = pytest.mark.sampled(0.67)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of 8 photos of each label, with views, and one whose label stands alone."""
    folder = tmp_path_factory.mktemp("curve")
    copy_photos(folder / "train", "train", 10, LABELS)
    copy_photos(folder / "test", "test", 2, LABELS)
    (folder / "train" / "alone").mkdir()
    (folder / "train" / "Kiwi" / "torn.jpg").write_bytes(b"not a picture")
    photo = sorted((folder / "train" / "Lemon").iterdir())[0]
    photo.rename(folder / "train" / "alone" / photo.name)
    line = ["train", str(folder / "train"), "--session", str(folder / "s"), "--augment", "flip", "--tune", "off"]
    assert run([*line, "--iterations", "3", "--validation", "none"]) == 0
    return folder


def test_it_says_draws_and_writes_the_curve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot, table = folder / "new" / "curve.png", folder / "new" / "curve.csv"
    line = ["learning-curve", str(folder / "s"), "--plot", str(plot), "--csv", str(table), "--most-images", "27"]
    before = sorted((folder / "s").rglob("*"))
    capsys.readouterr()
    assert run([*line, "--json"]) == 0
    said = capsys.readouterr()
    assert sorted((folder / "s").rglob("*")) == before, "nothing is stored"
    assert "fitting heads to parts of 26 images: 20 of 100 ..." in said.err
    found = json.loads(said.out)
    assert found.keys() == stated()["learning-curve"]
    assert (found["images"], found["classes"], found["unjudged"]) == (29, list(LABELS), ["alone"])
    assert (found["sampled"], found["repeats"]) == (26, 4)
    images = [point["images"] for point in found["points"]]
    assert images == sorted(images)
    assert images[-1] == pytest.approx(0.8 * 26)
    assert found["points"][-1]["accuracy"] > 0.8, "fruits are easily told apart"
    assert [each["factor"] for each in found["projections"]] == [1.5, 2.0]
    assert found["written"] == [str(plot), str(table)]
    with Image.open(plot) as image:
        assert image.size[0] > 1_000
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["label"] for row in rows] == ["", *LABELS] * 5
    assert [float(row["accuracy"]) for row in rows if not row["label"]] == [
        point["accuracy"] for point in found["points"]
    ]


def test_what_it_cannot_tell_it_refuses(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learning-curve", str(folder / "s"), "--csv", "curve.txt"]) == 2
    assert run(["learning-curve", str(folder / "s"), "--plot", "curve.gif"]) == 2
    with pytest.raises(UnusableData, match=r"3 classes are too few .* 8 images of each on average"):
        ml.learning_curve(folder / "s", most_images=12)
    copies = tmp_path / "copies"
    for label in ("Kiwi", "Lemon"):
        photo = sorted((folder / "train" / label).iterdir())[0]
        (copies / label).mkdir(parents=True)
        for number in range(9):
            shutil.copy2(photo, copies / label / f"{number}.jpg")
    assert run(["train", str(copies), "--session", str(tmp_path / "s")]) == 0
    with pytest.raises(UnusableData, match="there is no class with two different images or more"):
        ml.learning_curve(tmp_path / "s")
    # Each class is one group: where that is held out, nothing of it is left to be fitted to.
    grouped = ml.ModelParameters(groups="(Kiwi|Lemon|[^/]+)", tune="off", validation=ml.Validation.none())
    data = ml.DataSource.labeled_directories(folder / "train")
    ml.Classifier.train(data, grouped, ml.SessionParameters(tmp_path / "grouped", iterations=1)).result()
    with pytest.raises(UnusableData, match="there is no class with two groups of images or more"):
        ml.learning_curve(tmp_path / "grouped")
    session = ml.Classifier.make_training_session(data, None, ml.SessionParameters(tmp_path / "new"))
    with pytest.raises(UsageError, match=r"not extracted all its images yet; .* then ask for its learning curve"):
        ml.learning_curve(session)
    session.close()


def test_views_are_averaged_over(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, photo = str(folder / "s"), str(sorted((folder / "test" / "Kiwi").iterdir())[0])

    def printed(*line: str) -> dict[str, object]:
        capsys.readouterr()
        assert run([*line, "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    trained, flip = (printed("predict", model, photo, "--average-views", name) for name in ("training", "flip"))
    assert trained == flip, "a flip is all that it was trained with"
    assert flip != printed("predict", model, photo)
    table = tmp_path / "r.csv"
    printed("predict", model, photo, "--output", str(table), "--average-views", "flip")
    (row,) = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    assert (row["label"], float(row["confidence"])) == (flip["label"], flip["confidence"])
    measured = printed("evaluate", model, str(folder / "test"), "--average-views", "flip,crop")
    assert measured["metrics"] != printed("evaluate", model, str(folder / "test"))["metrics"]
    assert run(["predict", model, photo, "--average-views", "sideways"]) == 2
    assert "--average-views" in capsys.readouterr().err
