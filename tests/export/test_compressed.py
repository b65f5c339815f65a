"""Exports in fewer bits: what they cost is measured, and what costs too much is not written."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mlsession.coreml.manifest import MODEL
from mlsession.coreml.silence import coremltools_module
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export import ExportReport, ModelMetadata
from mlsession.export.compressed import CompressedExporter, compressed_exporter, measured_loss
from mlsession.export.compression import TOLERANCES, Compression, CompressionLoss, Method, checked_compression
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.verify import Answers, Floats
from mlsession.export.write import export_model
from tests.export.networks import LABELS, MeanColour, Trained, noise_images

pytestmark = pytest.mark.sampled(0.5)

SIDE = 16


class Patches(nn.Module):
    """Pixels -> probabilities, by a layer of weights enough to be put into fewer bits: 3 x 4 x 16 x 16."""

    def __init__(self, steepness: float = 60.0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 64, 4, 4)
            self.last = nn.Linear(64, len(LABELS))
        self.eval()
        with torch.no_grad():
            self.last.weight.mul_(steepness)
            features = self.features(torch.from_numpy(noise_images(20, SIDE)).permute(0, 3, 1, 2).float())
            self.last.bias.copy_(-self.last.weight @ features.mean(dim=0))

    def features(self, pixels: Tensor) -> Tensor:
        result: Tensor = torch.relu(self.first((pixels - 127.5) / 127.5)).mean(dim=(2, 3))
        return result

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(self.last(self.features(pixels)), dim=1)


MODEL_ = Trained(Patches(), LABELS, SIDE)
TRUTH = ("cat", None, "dog", "bird")


def exported(path: Path, compression: Compression, photo_labels: tuple[str | None, ...] = TRUTH) -> ExportReport:
    exporter = compressed_exporter(path.suffix, compression, photo_labels)
    return export_model(MODEL_, str(path), ModelMetadata(), noise_images(8, SIDE), {path.suffix: exporter}, None, 4)


@pytest.mark.parametrize(
    ("suffix", "method"),
    [
        (".mlmodel", "float16"),
        (".mlmodel", "int8"),
        (".mlmodel", "palettize4"),
        (".mlpackage", "float16"),
        (".mlpackage", "int8"),
        (".mlpackage", "palettize6"),
    ],
)
def test_an_export_in_fewer_bits_says_what_it_lost(suffix: str, method: Method, tmp_path: Path) -> None:
    report = exported(tmp_path / f"Small{suffix}", Compression(method=method, max_changed=1.0))
    loss = report.compression
    assert loss is not None
    assert (loss.method, loss.num_images, loss.num_labeled, loss.max_changed) == (method, 4, 3, 1.0)
    assert (report.num_images, report.num_photos, report.verified) == (4, 4, True)
    assert report.tolerance == TOLERANCES[method]
    bound = {"float16": 0.02, "int8": 0.2, "palettize8": 0.2, "palettize6": 0.5, "palettize4": 1.0}[method]
    assert loss.max_difference == report.max_difference
    assert 1e-6 < loss.max_difference < bound
    # Weights of 3,072 numbers, and beside them descriptions that do not shrink.
    saved = {"float16": 6144, "int8": 9216, "palettize8": 8192, "palettize6": 9700, "palettize4": 10700}[method]
    assert loss.uncompressed_size_bytes - report.size_bytes > saved - 2500
    version = {".mlmodel": 4, ".mlpackage": 6 if method == "float16" else 7}[suffix]
    assert report.spec_version == version


def test_equal_models_give_equal_bytes() -> None:
    compression = Compression(method="palettize6")
    first, second = (
        compressed_exporter(".mlpackage", compression).encode(MODEL_, ModelMetadata()).files for _ in range(2)
    )
    assert first == second


def test_the_smaller_file_has_the_same_face() -> None:
    encoded = compressed_exporter(".mlpackage", Compression(method="int8")).encode(MODEL_, ModelMetadata(author="A"))
    specs = [
        coremltools_module().proto.Model_pb2.Model.FromString(each.files[MODEL]).description
        for each in (encoded, encoded.whole)  # type: ignore[attr-defined]
    ]
    assert specs[0].predictedProbabilitiesName == "labelProbability"
    assert specs[0] == specs[1]


@pytest.mark.parametrize("method", ["float16", "int8", "palettize4"])
def test_nothing_stays_among_temporary_files(method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """coremltools leaves its packages there until the process ends: in a server or a notebook, one for each export."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    compressed_exporter(".mlpackage", Compression(method=method)).encode(MODEL_, ModelMetadata())
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("torch")] == []


def answers(labels: str, probabilities: Floats) -> Answers:
    return Answers(class_labels=("a", "b"), labels=tuple(labels), probabilities=probabilities)


def test_what_was_lost_is_counted_on_the_same_pictures() -> None:
    trained = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], np.float32)
    found = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.7, 0.3]], np.float32)
    loss = measured_loss(
        Compression(method="int8"), 400, answers("abaa", found), answers("abba", trained), ("a", "a", "b", None)
    )
    assert loss == CompressionLoss(
        method="int8",
        uncompressed_size_bytes=400,
        num_images=4,
        num_changed=1,
        max_changed=0.05,
        max_difference=loss.max_difference,
        num_labeled=3,
        uncompressed_accuracy=2 / 3,
        accuracy=1 / 3,
    )
    assert loss.max_difference == pytest.approx(0.2)
    unknown = measured_loss(
        Compression(method="int8"), 400, answers("ab", found[:2]), answers("ab", trained[:2]), (None,) * 2
    )
    assert (unknown.num_labeled, unknown.accuracy, unknown.uncompressed_accuracy) == (0, None, None)


def changing(columns: list[int], method: Method = "int8", **options: Any) -> CompressedExporter:
    """An exporter whose smaller file gives every picture the label of these columns in turn."""

    class Changed(CoreMLExporter):
        def answers(self, encoded: Any, images: Any) -> tuple[int, Answers]:
            version, found = CoreMLExporter.answers(self, encoded, images)
            turned = found.probabilities[:, columns]
            labels = tuple(LABELS[place] for place in turned.argmax(axis=1))
            return version, replace(found, probabilities=turned, labels=labels)

    whole, compression = compressed_exporter(".mlmodel", Compression(method=method, **options)), None
    return replace(whole, smaller=Changed(compression=compression), compression=Compression(method=method, **options))


def test_too_many_changed_answers_are_an_error_with_a_cure_and_nothing_is_written(tmp_path: Path) -> None:
    model = Trained(Patches(steepness=0.5), LABELS, SIDE)
    path = tmp_path / "Small.mlmodel"
    for options, passes in (({}, False), ({"max_changed": 1.0}, True)):
        exporters = {".mlmodel": changing([1, 2, 0], "palettize4", **options)}
        if passes:
            report = export_model(model, str(path), ModelMetadata(), noise_images(6, SIDE), exporters)
            assert report.compression is not None
            assert report.compression.num_changed == 6
            assert report.num_labels_equal == 0
        else:
            with pytest.raises(InvalidParameter, match=r"6 of 6 pictures.*more than 5 %.*palettize6.*max_changed=1"):
                export_model(model, str(path), ModelMetadata(), noise_images(6, SIDE), exporters)
            assert list(tmp_path.iterdir()) == []


def test_a_probability_too_far_off_is_an_error(tmp_path: Path) -> None:
    exporters = {".mlmodel": changing([1, 2, 0], "float16", max_changed=1.0)}
    with pytest.raises(
        InvalidParameter, match=r"differs by .*more than the 0\.05 of this method.*export it uncompressed"
    ):
        export_model(MODEL_, str(tmp_path / "S.mlmodel"), ModelMetadata(), noise_images(6, SIDE), exporters)


def test_the_whole_export_is_proved_first(tmp_path: Path) -> None:
    class Other(CoreMLExporter):
        def encode(self, model: Any, metadata: ModelMetadata) -> Any:
            return CoreMLExporter().encode(Trained(MeanColour(3), LABELS, SIDE), metadata)

    exporters = {".mlmodel": replace(compressed_exporter(".mlmodel", Compression(method="float16")), whole=Other())}
    with pytest.raises(InternalError, match="differs from the trained model"):
        export_model(MODEL_, str(tmp_path / "S.mlmodel"), ModelMetadata(), noise_images(3, SIDE), exporters)


def test_other_formats_methods_and_shares_are_refused() -> None:
    assert checked_compression(".onnx", None) is None
    assert checked_compression(".mlmodel", "int8", 0.1) == Compression(method="int8", max_changed=0.1)
    with pytest.raises(InvalidParameter, match=r"compress='int8': \.onnx files are not compressed"):
        checked_compression(".onnx", "int8")
    with pytest.raises(InvalidParameter, match="must be one of float16, int8, palettize8"):
        checked_compression(".mlmodel", "int3")
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidParameter, match="must be a share"):
            checked_compression(".mlmodel", "int8", share)
    with pytest.raises(InvalidParameter, match="say what to compress to"):
        checked_compression(".mlmodel", None, 0.1)
