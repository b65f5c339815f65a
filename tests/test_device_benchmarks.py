"""The parts of `benchmarks/devices.py`, on a few photos; what they measure is not looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.devices import compared, decoders, differing, throughput
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.trying import FEWEST_PHOTOS
from tests.extractors.devices import on_gpu
from tests.photos import PHOTOS

FILES = sorted((PHOTOS / "train" / "Lemon").iterdir())[:5]


def test_features_are_compared() -> None:
    found = compared(on_gpu(4), FILES)
    assert str(found["cosine to float32 on the CPU, mean"]).startswith(("1.0", "0.99999"))
    assert [value for name, value in found.items() if name.startswith("other bits")] == ["0 rows"] * 3
    rounded = compared(on_gpu(4, bfloat16=True), FILES)
    assert float(str(rounded["  least"])) < 0.99999


def test_differences_are_counted() -> None:
    rows = np.zeros((3, 2), np.float32)
    assert differing(rows, rows) == "0 rows"
    assert differing(rows, rows + np.array([[0], [0.5], [0.25]], np.float32)) == "2 rows, by up to 0.5"


def test_what_bounds_it_is_told() -> None:
    found = throughput(Runtime(backend="torch", precision="float32"), FILES)
    assert str(found["bound by"]).startswith("the sum of both parts: ")
    assert float(str(found["whole, images/s"])) > 0


@pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")
def test_decoders_are_compared_where_there_is_a_gpu() -> None:
    files = sorted(Path(PHOTOS / "train").rglob("*.jpg"))[:FEWEST_PHOTOS]
    found = decoders(on_gpu(4), files)
    assert (found["photos tried"], found["what speaks against it"]) == (FEWEST_PHOTOS, "nothing")
    assert found["other bits the second time"] == "0 rows"
    assert float(str(found["cosine of all photos, least"])) > 0.995
    said = decoders(Runtime(backend="torch", precision="float32"), files)
    assert list(said.values()) == ["not compared: the network runs on cpu, and it decodes for CUDA"]
