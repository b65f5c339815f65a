"""A classifier that is made and run in milliseconds, and a folder of real photos that it has something to say of."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlsession as ml
from mlsession.classifier.model import ImageModel
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from mlsession.testing.tiny_extractor import TinyExtractor
from mlsession.training.outcome import Trained
from tests.photos import copy_photos

LABELS = tuple("abcdefgh")


def tiny_model(seed: int = 0) -> ImageModel:
    """Eight labels, and weights drawn by `seed`."""
    extractor, generator = TinyExtractor(), keyed_generator(seed, "head")
    weight = generator.normal(size=(len(LABELS), extractor.dimension)).astype("float32")
    bias = generator.normal(size=len(LABELS)).astype("float32")
    return ImageModel(labels=LABELS, feature_extractor=extractor, head=LogisticHead(weight=weight, bias=bias))


def tiny_classifier(seed: int = 0) -> ml.Classifier:
    """A classifier of `tiny_model`."""
    return ml.Classifier._of(Trained(model=tiny_model(seed), metrics={}))


def fill(folder: Path) -> Path:
    """36 photos at several depths, three steps of inferencing; two of 38 images cannot be read."""
    copy_photos(folder, "train", 12, ("Banana", "Kiwi", "Lemon"))
    (folder / "Kiwi").rename(folder / "deeper")
    (folder / "deeper").rename(folder / "Banana" / "deeper")
    next((folder / "Lemon").iterdir()).rename(folder / "at the top.jpg")
    (folder / "Lemon" / "torn.jpg").write_bytes(b"not a picture")
    (folder / "Banana" / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def classifier() -> ml.Classifier:
    return tiny_classifier()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Those of `fill`, for a test to change."""
    return fill(tmp_path / "photos")


@pytest.fixture(scope="module")
def shared_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of `fill`; not to be changed."""
    return fill(tmp_path_factory.mktemp("photos") / "photos")
