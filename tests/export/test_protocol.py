from __future__ import annotations

import subprocess
import sys

import pytest

from mlsession.errors import InvalidParameter
from mlsession.export import EXPORT_SUFFIXES, export_suffix, exporter_for
from mlsession.export.coreml import CoreMLExporter


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("Animals.mlmodel", ".mlmodel"),
        ("/models/v1.2/Animals.MLModel", ".mlmodel"),
        ("s3://bucket/a.b/model.safetensors", ".safetensors"),
        ("what?.mlmodel", ".mlmodel"),
        ("a #1.safetensors", ".safetensors"),
        ("Animals.mlpackage/", ".mlpackage"),
        ("s3://bucket/Animals.mlpackage/", ".mlpackage"),
    ],
)
def test_the_suffix_is_read_from_the_name(path: str, suffix: str) -> None:
    assert export_suffix(path) == suffix


@pytest.mark.parametrize(
    "path", ["model", "model.pth", "model.mlmodel.zip", "s3://bucket/x.mlmodel/readme", ".mlmodel"]
)
def test_another_suffix_is_refused_with_the_choices(path: str) -> None:
    with pytest.raises(InvalidParameter, match=r"path=.*\.mlmodel, \.mlpackage, \.onnx, \.pt2 or \.safetensors"):
        export_suffix(path)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(InvalidParameter) as caught:
        export_suffix("sftp://me:secret@host/model.bin")
    assert "secret" not in str(caught.value)


def test_an_exporter_is_found_by_its_suffix() -> None:
    exporter = CoreMLExporter()
    assert exporter.suffix in EXPORT_SUFFIXES
    assert exporter_for(".mlmodel", {exporter.suffix: exporter}) is exporter


def test_a_missing_exporter_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidParameter, match=r"suffix='\.safetensors'.*\.mlmodel"):
        exporter_for(".safetensors", {".mlmodel": CoreMLExporter()})


def test_the_package_needs_neither_torch_nor_coremltools() -> None:
    check = "import sys, mlsession.export; sys.exit(len({'torch', 'coremltools'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
