"""docs/format.md on networks of one's own, by the reader of this folder and ONNX Runtime alone."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import mlsession as ml
from mlsession.images.decode import prepare_image
from tests.extractors.own_networks import tiny_onnx
from tests.photos import copy_photos

from .reader import SessionFolder
from .stored import Object, sha256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its weights beside it, photos and a session on them."""
    folder = tmp_path_factory.mktemp("made")
    model = folder / "own.onnx"
    onnx.save_model(tiny_onnx(), model, save_as_external_data=True, location="own.bin", size_threshold=0)
    copy_photos(folder / "train", "train", 2, ("Kiwi", "Lemon"))
    extractor = ml.CustomFeatureExtractor(model, "map", mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
    parameters = ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=extractor))
    where = ml.SessionParameters(folder / "session", iterations=1, cache=None)
    ml.Classifier.train(ml.DataSource.labeled_directories(folder / "train"), parameters, where).result()
    return folder


def stored(folder: Path) -> tuple[Object, Object, Object]:
    """The stored extractor, the numerics id and the settings."""
    body = SessionFolder(folder / "session").newest()[0].opened["body"]
    identity = body["identity"]
    return identity["parameters"]["algorithm"]["feature_extractor"], identity["numerics"], body["settings"]


def test_the_members_are_those_of_the_document(folder: Path) -> None:
    extractor, numerics, settings = stored(folder)
    assert set(extractor) == {
        "kind", "format", "weights", "output", "num_features", "network_side", "crop", "layout", "input", "channels",
        "scale", "mean", "std", "identity",
    }  # fmt: skip
    assert (extractor["kind"], extractor["format"], extractor["output"]) == ("custom", "onnx", "map")
    digest = hashlib.sha256()
    for name, file in (("", "own.onnx"), ("own.bin", "own.bin")):
        digest.update(name.encode() + b"\0" + sha256((folder / file).read_bytes()).encode() + b"\0")
    assert extractor["weights"] == f"files-sha256:{digest.hexdigest()}"
    assert numerics["extractor"]["backend"] == f"onnxruntime {onnxruntime.__version__} cpu"
    assert settings["extractor_weights"] == str(folder / "own.onnx")
    assert str(folder) not in json.dumps(extractor)


def test_the_rows_are_what_the_model_gives_for_the_centre_of_the_pictures(folder: Path) -> None:
    it, _, _ = stored(folder)
    reader = SessionFolder(folder / "session")
    rows = reader.rows(reader.newest()[0], "extracting")["features"]
    model = onnx.load(folder / "own.onnx")
    model.graph.output[0].name = it["output"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    s = it["network_side"]
    p = round(s * 256 / 224)
    first = math.floor((p - s) / 2)
    for row, path in enumerate(sorted((folder / "train").rglob("*.jpg"))):
        picture = prepare_image(path.read_bytes(), path.name, p)[first : first + s, first : first + s]
        channels = (picture * it["scale"] - np.array(it["mean"])) / np.array(it["std"])
        (found,) = session.run([it["output"]], {"image": channels.transpose(2, 0, 1)[None].astype(np.float32)})
        expected = found.reshape(-1)
        assert rows.shape[1] == it["num_features"] == len(expected)
        assert np.linalg.norm(rows[row] - expected) < 2**-11 * np.linalg.norm(expected)  # Rounded to float16.
