"""What chapter 12 of docs/format.md says of networks of a library, on a real session with one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file

import mlsession as ml
from mlsession.extractors.library.extractor import TENSORS, TimmExtractor
from mlsession.extractors.library.networks import loaded
from mlsession.extractors.running.runtime import Runtime
from mlsession.images.decode import prepare_image
from tests.extractors.networks import save_weights, timm_network
from tests.photos import copy_photos

from .reader import SessionFolder
from .stored import Object, sha256, tensor_digest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, photos and a session on them."""
    folder = tmp_path_factory.mktemp("made")
    save_weights(timm_network("test_resnet"), folder / "weights.safetensors")
    copy_photos(folder / "train", "train", 2, ("Kiwi", "Lemon"))
    extractor = ml.timm_extractor("test_resnet", folder / "weights.safetensors")
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
        "kind", "network", "weights", "num_features", "network_side", "mean", "std", "identity",
    }  # fmt: skip
    assert (extractor["kind"], extractor["network"]) == ("timm", "test_resnet")
    assert extractor["weights"] == f"file-sha256:{sha256((folder / 'weights.safetensors').read_bytes())}"
    assert numerics["extractor"]["library"] == f"timm {timm.__version__}"
    assert settings["extractor_weights"] == str(folder / "weights.safetensors")
    assert str(folder) not in json.dumps(extractor)


def test_the_rows_are_what_the_network_gives_for_the_centre_of_the_pictures(folder: Path) -> None:
    extractor, _, _ = stored(folder)
    reader = SessionFolder(folder / "session")
    rows = reader.rows(reader.newest()[0], "extracting")["features"]
    s = extractor["network_side"]
    p = round(s * 256 / 224)
    first = math.floor((p - s) / 2)
    network = timm_network("test_resnet")
    network.reset_classifier(0)
    for row, path in enumerate(sorted((folder / "train").rglob("*.jpg"))):
        picture = prepare_image(path.read_bytes(), path.name, p)[first : first + s, first : first + s]
        channels = (picture / 255 - np.array(extractor["mean"])) / np.array(extractor["std"])
        with torch.inference_mode():
            expected = network(torch.from_numpy(channels.transpose(2, 0, 1)[None]).float())[0].numpy()
        assert rows.shape[1] == extractor["num_features"] == len(expected)
        assert np.linalg.norm(rows[row] - expected) < 2**-11 * np.linalg.norm(expected)  # Rounded to float16.


def test_the_digest_of_published_tensors_is_the_one_described(folder: Path) -> None:
    """A value that names its weights so is loaded from a file that holds them, and from no other."""
    extractor, _, _ = stored(folder)
    digest = tensor_digest(load_file(folder / "weights.safetensors"))
    published = TimmExtractor.from_json({**extractor, "weights": f"{TENSORS}:{digest}"})
    found = loaded(published.at(str(folder / "weights.safetensors")), Runtime(backend="torch", precision="float32"))
    assert found.dimension == extractor["num_features"]
