"""The code in a card: every line runs, and says what the model says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlsession.cards.usage import usage
from mlsession.export.metadata import ModelMetadata
from mlsession.export.onnx import ONNXExporter
from mlsession.export.pt2 import PT2Exporter
from tests.inference.conftest import tiny_classifier, tiny_model
from tests.photos import PHOTOS

pytestmark = pytest.mark.sampled(0.5)


@pytest.mark.parametrize("exporter", [ONNXExporter(), PT2Exporter()], ids=["onnx", "pt2"])
def test_the_code_of_a_file_runs(exporter: ONNXExporter | PT2Exporter, tmp_path: Path) -> None:
    photo = sorted((PHOTOS / "test" / "Kiwi").iterdir())[0]
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    file = f"model{exporter.suffix}"
    (tmp_path / file).write_bytes(exporter.encode(tiny_model(), ModelMetadata()).data)
    code = usage(file, exporter.suffix, 32)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, tiny_classifier().predict(photo).label), run.stderr


def test_code_of_core_ml_is_whole_and_of_other_formats_there_is_none() -> None:
    code = usage("model.mlpackage", ".mlpackage", 297)
    compile(code, "card", "exec")
    assert 'MLModel("model.mlpackage")' in code
    assert "(297, 297)" in code
    assert usage("model.words", ".words", 1) == ""
    apart = usage("model.safetensors", ".safetensors", 1, weights="WEIGHTS.safetensors")
    compile(apart, "card", "exec")
    assert 'extractor_weights="' in apart
