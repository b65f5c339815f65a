"""`mlsession predict --output`, killed and stopped for real; then the same command, and the same bytes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from mlsession.classifier.format import encode_model
from mlsession.classifier.model import ImageModel
from mlsession.cli.outcome import RESUMABLE
from mlsession.extractors.catalog import scene_print
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from mlsession.store import LocalStore
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos
from tests.recovery.nursery import Forked, Nursery


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 photos and one that is none, seven steps; and a model of some head."""
    folder = tmp_path_factory.mktemp("predictions")
    copy_photos(folder / "photos", "train", 20, ("Banana", "Kiwi", "Lemon", "Satsumas", "Tomato"))
    (folder / "photos" / "torn.jpg").write_bytes(b"not a picture")
    spec, draws = scene_print(), keyed_generator(0, "head")
    weight = draws.normal(size=(3, spec.dimension)).astype(np.float32)
    head = LogisticHead(weight=weight, bias=np.zeros(3, dtype=np.float32))
    model = ImageModel(labels=("Banana", "Kiwi", "Lemon"), feature_extractor=spec, head=head)
    (folder / "model.safetensors").write_bytes(encode_model(model, {}))
    return folder


class Prediction:
    """The same line on the same output, as often as it takes."""

    def __init__(self, trainers: Nursery, folder: Path, output: Path) -> None:
        self._trainers = trainers
        words = ("predict", folder / "model.safetensors", folder / "photos", "--output", output)
        self._line = [*map(str, words), "--checkpoint-interval", "1", "--cache", "none", "--json"]
        self.output = output
        self.store = LocalStore(f"{output}.mlsession")

    def start(self, halt: str = "") -> Forked:
        return self._trainers.start("mlsession", *self._line, halt=halt)

    def halted(self, where: str) -> Forked:
        """Starts it, and returns once it is there, see halting.py."""
        child = self.start(where)
        child.until_halted()
        return child

    def finish(self) -> dict[str, object]:
        child = self.start()
        assert child.wait() == 0, child.err
        found: dict[str, object] = json.loads(child.out)
        return found


def test_killed_and_stopped_it_writes_the_same(trainers: Nursery, folder: Path, tmp_path: Path) -> None:
    unbroken = Prediction(trainers, folder, tmp_path / "unbroken.csv")
    report = unbroken.finish()
    assert (report["images"], report["skipped"]) == (101, 1)
    broken = Prediction(trainers, folder, tmp_path / "broken.csv")
    child = broken.halted("within inferencing")
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    check_session(broken.store)
    assert not broken.output.exists()
    child = broken.halted("opened")
    child.send(signal.SIGTERM, signal.SIGCONT)
    assert child.wait() == RESUMABLE, child.err
    assert "to go on: " in child.err
    assert not broken.output.exists()
    again = broken.finish()
    assert again["counts"] == report["counts"]
    assert broken.output.read_bytes() == unbroken.output.read_bytes()
    check_session(broken.store)
