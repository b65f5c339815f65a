"""Targets that cannot be written, labels of all kinds, and many classes: right, or a clear error, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from mlsession.classifier.format import decode_model
from mlsession.classifier.model import ImageModel
from mlsession.cli.printing.report import export_line
from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.coreml.program import evaluate_mlpackage, read_mlpackage
from mlsession.errors import InvalidParameter, MLSessionError
from mlsession.export import EXPORT_SUFFIXES, Encoded, ModelMetadata
from mlsession.export.compressed import compressed_exporter
from mlsession.export.compression import Compression
from mlsession.export.coreml import CoreMLExporter, convert_mlmodel
from mlsession.export.mlpackage import MLPackageExporter, convert_mlpackage
from mlsession.export.protocol import export_suffix
from mlsession.export.safetensors import SafetensorsExporter
from mlsession.export.write import export_model, write_encoded
from mlsession.extractors.catalog import scene_print
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from tests.export.networks import LABELS, MeanColour, Trained, noise_images
from tests.export.test_coreml import ODD_LABELS

SIDE = 16
MANY = (*ODD_LABELS, *(f"class {number}" for number in range(1000 - len(ODD_LABELS))))


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
@pytest.mark.parametrize("folder", ["a file/below", "/proc/nowhere"])
def test_a_target_that_cannot_be_written_is_named(suffix: str, folder: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"mine")
    target = tmp_path / folder / f"Model{suffix}"
    encoded = Encoded({"Manifest.json": b"{}"}) if suffix == ".mlpackage" else Encoded.of_file(b"data")
    with pytest.raises(MLSessionError, match=rf"below|nowhere|Model\{suffix}") as caught:
        write_encoded(str(target), encoded)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "a file").read_bytes() == b"mine"


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_a_suffix_is_known_in_any_case(suffix: str) -> None:
    assert export_suffix(f"My.Model v1.2{suffix.upper()}") == suffix


@pytest.mark.parametrize("labels", [("", "b"), MANY], ids=["2", "1000"])
def test_core_ml_keeps_labels_of_all_kinds_in_order(labels: tuple[str, ...]) -> None:
    network, images = MeanColour(len(labels)), noise_images(3, SIDE)
    single = convert_mlmodel(network, labels, ModelMetadata(), SIDE)
    package = convert_mlpackage(network, labels, ModelMetadata(), SIDE)
    assert read_mlmodel(single).labels == read_mlpackage(package).labels == labels
    assert evaluate_mlmodel(single, images)[0] == evaluate_mlpackage(package, images)[0]


@pytest.mark.parametrize("labels", [("", "ends\0here"), (*MANY, "caf\u00e9", "cafe\u0301")], ids=["2", "1002"])
def test_a_saved_model_keeps_labels_of_all_kinds_in_order(labels: tuple[str, ...]) -> None:
    weight = np.arange(len(labels) * 1280, dtype=np.float32).reshape(len(labels), 1280)
    head = LogisticHead(weight=weight, bias=np.zeros(len(labels), np.float32))
    model = ImageModel(labels=labels, feature_extractor=scene_print(), head=head)
    data = SafetensorsExporter().encode(model, ModelMetadata()).data
    assert decode_model(data, "m.safetensors").labels == labels
    assert len(data) - weight.nbytes < 40_000


def test_an_app_that_carries_the_extractor_reads_the_head_with_any_reader(tmp_path: Path) -> None:
    """As docs/exports.md says it; nothing of ours takes part in reading."""
    random, path = keyed_generator(0, "head"), tmp_path / "Animals.safetensors"
    head = LogisticHead(
        weight=random.normal(size=(3, 1280)).astype(np.float32), bias=random.normal(size=3).astype(np.float32)
    )
    model = ImageModel(labels=("a", "b", "c"), feature_extractor=scene_print(), head=head, temperature=2.0)
    path.write_bytes(SafetensorsExporter().encode(model, ModelMetadata()).data)
    features = random.normal(size=(5, 1280)).astype(np.float32)
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["mlsession"])
        logits = features @ file.get_tensor("weight").T + file.get_tensor("bias")
    assert about["extractor_identity"] == scene_print().identity
    assert [about["labels"][place] for place in logits.argmax(axis=1)] == [
        model.labels[place] for place in head.probabilities(features).argmax(axis=1)
    ]
    np.testing.assert_allclose(logits, head.logits(features), rtol=1e-4, atol=1e-4)


class Waves(nn.Module):
    """Probabilities by an operator that Core ML has, and our evaluators do not."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(torch.atan(pixels.mean(dim=(2, 3))), dim=1)


@pytest.mark.parametrize("suffix", [".mlmodel", ".mlpackage"])
def test_what_cannot_be_run_here_is_written_and_not_called_verified(suffix: str, tmp_path: Path) -> None:
    model = Trained(Waves(), LABELS, SIDE)
    exporter = CoreMLExporter() if suffix == ".mlmodel" else MLPackageExporter()
    path = tmp_path / f"Waves{suffix}"
    report = export_model(model, str(path), ModelMetadata(), noise_images(2, SIDE), {suffix: exporter}, None, 2)
    assert path.exists()
    assert (report.verified, report.num_images, report.num_photos, report.max_difference) == (False, 0, 0, None)
    assert "mlsession cannot run" in report.reason
    assert "not verified: " in export_line(str(path), report)
    smaller, small = {suffix: compressed_exporter(suffix, Compression(method="float16"))}, tmp_path / f"Small{suffix}"
    with pytest.raises(InvalidParameter, match=r"compress=.*cannot be measured here: .*mlsession cannot run"):
        export_model(model, str(small), ModelMetadata(), noise_images(2, SIDE), smaller)
    assert not small.exists()
