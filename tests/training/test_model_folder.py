"""A model as a folder with its card: written, written again, refused, and loaded from any store."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import mlsession as ml
from mlsession.cards import is_sealed
from mlsession.errors import InvalidParameter, ModelNotFound
from mlsession.training.models.card_facts import split_words
from mlsession.training.models.model_folder import is_folder, suffixes_of, title_of
from mlsession.training.outcome import Trained
from tests.extractors.own_networks import HALVES, tiny_onnx, write_onnx
from tests.servers.s3 import S3Server
from tests.training.conftest import Start
from tests.training.test_exporting import some_model

WRITTEN = ("model.safetensors", "model.safetensors.report.json", "labels.json", "README.md")


def untrained() -> ml.Classifier:
    """A classifier that came out of a file."""
    return ml.Classifier._of(Trained(model=some_model(), metrics={}))


def digest_of(folder: Path) -> str:
    """Of labelled photos, as docs/exports.md states it."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.parent.name}\n" for path in folder.rglob("*.jpg")]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_the_card_of_a_session_says_what_it_found(
    start: Start, train_photos: Path, test_photos: Path, tmp_path: Path
) -> None:
    classifier = start(testing=test_photos).result()
    folder = tmp_path / "Fruit"
    written = classifier.write_folder(f"{folder}/", ml.ModelMetadata(author="A", license="MIT"))
    assert set(written.files) == {*WRITTEN, "metrics.json"} == {path.name for path in folder.iterdir()}
    assert [(report.path, report.num_photos) for report in written.reports] == [("model.safetensors", 8)]
    text = (folder / "README.md").read_text()
    data: Any = ModelCard(text).data
    (accuracy,) = [each for each in data.eval_results if each.metric_name == "Accuracy"]
    assert accuracy.metric_value == round(classifier.testing_metrics.accuracy, 4)
    assert (accuracy.dataset_name, data.model_name) == ("train", "Fruit")
    assert f"| SHA-256 of the images and labels | `{digest_of(train_photos)}` |" in text
    held_out = classifier.validation_metrics.count
    assert f"| validation images | {held_out} of each class alike" in text
    assert f"`{classifier.model_digest}`" in text
    assert '"seed": 0' in text
    assert '"instructions"' in text
    assert json.loads((folder / "labels.json").read_text()) == list(classifier.classes)
    assert json.loads((folder / "metrics.json").read_text())["test"] == classifier.testing_metrics.to_json()
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert str(tmp_path).encode() not in everything
    assert str(train_photos.parent).encode() not in everything
    photo = next(test_photos.rglob("*.jpg"))
    assert ml.Classifier.load(folder).predict(photo) == classifier.predict(photo)


def test_a_folder_is_written_again_and_keeps_what_is_not_of_it(tmp_path: Path) -> None:
    classifier, folder = untrained(), tmp_path / "Pets"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("mine")
    (folder / "model.txt").write_text("mine")
    assert classifier.write_folder(folder).files == WRITTEN
    # As an earlier export with more formats, and as a kill in the middle of it, would have left it.
    (folder / "model.onnx").write_bytes(b"of another model")
    (folder / "model.mlpackage" / "Data").mkdir(parents=True)
    (folder / "model.mlpackage" / "Data" / "x").write_bytes(b"of another model")
    classifier.write_folder(folder)
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, ".git", "model.txt"}
    assert (folder / ".git" / "config").read_text() == "mine"
    assert is_sealed((folder / "README.md").read_text())

    with (folder / "README.md").open("a") as card:
        card.write("\nMy own words.\n")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InvalidParameter, match=r"README\.md that was not written here, or was changed"):
        classifier.write_folder(folder)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_the_core_ml_files_of_a_folder_are_put_into_fewer_bits_and_the_card_says_so(
    tmp_path: Path, start: Start, test_photos: Path
) -> None:
    folder = tmp_path / "Fruit"
    tiny = ml.CustomFeatureExtractor(write_onnx(tmp_path / "tiny.onnx", tiny_onnx()), mean=HALVES, std=HALVES)
    parameters = ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=tiny), tune="off")
    classifier = start(testing=test_photos, parameters=parameters).result()
    written = classifier.write_folder(folder, formats=["mlmodel"], compress="float16", max_changed=1.0)
    whole, small = written.reports
    assert (whole.path, whole.compression, whole.num_photos) == ("model.safetensors", None, 8)
    loss = small.compression
    assert loss is not None
    assert loss.accuracy is not None
    photos = len(list(test_photos.rglob("*.jpg")))
    assert (small.path, loss.method, loss.num_images, loss.num_labeled) == ("model.mlmodel", "float16", photos, photos)
    size = (folder / "model.mlmodel").stat().st_size
    assert size == small.size_bytes < 0.8 * loss.uncompressed_size_bytes
    (row,) = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| `model.mlmodel`")]
    assert "Core ML neural network, float16" in row
    assert "kB uncompressed)" in row
    assert f"{loss.num_changed} of them get another label; of {photos} test images {100 * loss.accuracy:.1f} %" in row
    stored = json.loads((folder / "model.mlmodel.report.json").read_text())
    assert stored["compression"]["method"] == "float16"

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InvalidParameter, match="the folder gets none; add the format mlpackage"):
        classifier.write_folder(folder, formats=["onnx"], compress="float16")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text("mine")
    with pytest.raises(InvalidParameter, match=r"has a labels\.json that was not written here"):
        untrained().write_folder(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidParameter, match="is a file"):
        untrained().write_folder(tmp_path / "file")
    with pytest.raises(InvalidParameter, match=r"tflite.*there are mlmodel, mlpackage, onnx, pt2, safetensors"):
        untrained().write_folder(tmp_path / "new", formats=["tflite"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"labels.json": "mine", "file": "mine"}


def test_what_lies_deeper_in_an_existing_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a home, or "/": with more below it than can be read, or looked at in a day."""
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "README.md").write_text("mine")
    looked_at: list[str] = []
    listed = os.scandir

    def scandir(path: Any = ".") -> Any:
        looked_at.append(str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    untrained().write_folder(tmp_path)
    assert not any("deep" in path for path in looked_at)
    long = tmp_path / ("x" * 300)
    assert not is_folder(str(long))
    with pytest.raises(InvalidParameter, match="choose a shorter one"):
        untrained().write_folder(f"{long}/")


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    closed = tmp_path / "closed"
    closed.mkdir()
    with pytest.raises(InvalidParameter, match="file is no folder; name another place"):
        untrained().write_folder(tmp_path / "file" / "model")
    closed.chmod(0o000)
    try:
        if not os.access(closed, os.W_OK):  # Root may write anywhere.
            for path in (closed, closed / "model"):
                with pytest.raises(InvalidParameter, match="closed may not be written to; name another place"):
                    untrained().write_folder(path)
    finally:
        closed.chmod(0o700)


def test_a_session_is_no_place_for_a_model_and_a_card_names_no_credentials(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0000000000.json").write_text("{}")
    with pytest.raises(InvalidParameter, match="holds a session; name another folder"):
        untrained().write_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    for url in ("sftp://me:hush@host/", "s3://KEY:hush@bucket/", "s3://KEY:hush@bucket/fruit/"):
        assert "hush" not in title_of(url)


def test_a_folder_in_a_bucket_is_written_and_loaded(s3_server: S3Server) -> None:
    url, options = f"{s3_server.new_bucket_url()}/models/Pets", s3_server.storage_options
    assert untrained().write_folder(f"{url}/", storage_options=options).path == f"{url}/"
    assert ml.Classifier.load(url, options).model_digest == some_model().digest
    assert ml.Classifier.load(f"{url}/", options).model_digest == some_model().digest


def test_what_is_no_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nor a folder with a model\.safetensors"):
        ml.Classifier.load(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelNotFound, match=r"nor a folder with a model\.safetensors"):
        ml.Classifier.load(tmp_path)
    for name in ("a.onnx", "a.mlpackage", "a.mlmodel", "a.pt2"):
        with pytest.raises(ModelNotFound, match=r"for other programs; load the \.safetensors form"):
            ml.Classifier.load(tmp_path / name)


def test_which_paths_are_folders(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.mlpackage").mkdir()
    for path in ("new/", "s3://bucket/new/", "v1.2/", str(tmp_path / "there")):
        assert is_folder(path)
    for path in ("new", "s3://bucket/new", "a.onnx", "a.mlpackage/", str(tmp_path / "a.mlpackage")):
        assert not is_folder(path)
    assert suffixes_of(["onnx", ".ONNX", "safetensors"]) == (".safetensors", ".onnx")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (ml.ModelParameters(), "9 of each class alike, copies of an image on one side, seed 0"),
        (
            ml.ModelParameters(validation=ml.Validation.split(0.2), groups="(p[0-9])_"),
            "9, 20 %, copies and groups ((p[0-9])_) on one side, seed 0",
        ),
    ],
)
def test_a_card_says_how_images_were_held_out(parameters: ml.ModelParameters, words: str) -> None:
    assert split_words(parameters, 9) == words
    assert split_words(parameters, 0) == "none"
