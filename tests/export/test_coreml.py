from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export import Encoded, ExportReport, ModelMetadata
from mlsession.export.coreml import CoreMLExporter, convert_mlmodel
from mlsession.export.protocol import Images
from mlsession.export.verify import OWN_EVALUATOR, TOLERANCE
from tests.export.networks import LABELS, SIDE, MeanColour, SmallClassifier, Trained, answers, noise_images
from tests.recovery.nursery import Nursery

pytestmark = pytest.mark.sampled(0.6)

ODD_LABELS = (
    "two words",
    " spaces around ",
    'say "hi"',
    "it's",
    "back\\slash",
    "a/b",
    "tab\tand\nline",
    "",
    "0",
    "Zürich",
    "東京",
    "кошка",
    "قطة",
    "👩‍👩‍👧‍👦",
    "🐈",
    "ﬁ",
    "fi",
    "İ",
    "i",
    "I",
    "x" * 2000,
)


@pytest.mark.parametrize("num_classes", [2, 1000])
def test_the_file_answers_as_the_network_does(num_classes: int) -> None:
    network, images = SmallClassifier(num_classes), noise_images(6)
    labels = tuple(f"class {number}" for number in range(num_classes))
    found, probabilities = evaluate_mlmodel(convert_mlmodel(network, labels, ModelMetadata(), SIDE), images)
    expected = answers(network, images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert found == [labels[column] for column in expected.argmax(axis=1)]
    # The pictures do not all look the same to it, so a graph that ignores its input would not pass.
    assert len(set(found)) > 1
    assert probabilities.dtype == np.float32


def test_odd_labels_survive_in_order() -> None:
    data = convert_mlmodel(MeanColour(len(ODD_LABELS)), ODD_LABELS, ModelMetadata(), SIDE)
    assert read_mlmodel(data).labels == ODD_LABELS
    assert set(evaluate_mlmodel(data, noise_images(6))[0]) <= set(ODD_LABELS)


def test_the_interface_is_that_of_an_image_classifier(small: bytes) -> None:
    contents = read_mlmodel(small)
    description = contents.description
    assert contents.spec_version == 4  # iOS 13, macOS 10.15
    (image,) = description.input
    assert image.name == "image"
    layout = image.type.imageType.ColorSpace.Name(image.type.imageType.colorSpace)
    assert (image.type.imageType.width, image.type.imageType.height, layout) == (SIDE, SIDE, "RGB")
    kinds = {output.name: output.type.WhichOneof("Type") for output in description.output}
    assert kinds == {"label": "stringType", "labelProbability": "dictionaryType"}
    keys = {output.type.dictionaryType.WhichOneof("KeyType") for output in description.output}
    assert "stringKeyType" in keys
    assert (description.predictedFeatureName, description.predictedProbabilitiesName) == ("label", "labelProbability")
    assert contents.network.labelProbabilityLayerName == "labelProbability"
    assert all(feature.shortDescription for feature in (*description.input, *description.output))


def test_metadata_are_where_xcode_looks_for_them() -> None:
    metadata = ModelMetadata(
        author="Ada Łovelace",
        short_description="Cats, dogs — and birds.",
        license="MIT",
        version="2.1",
        additional={"com.example.dataset": "Animals 🐈", "note": 'a "quoted" one'},
    )
    shown = read_mlmodel(convert_mlmodel(MeanColour(3), LABELS, metadata, SIDE)).description.metadata
    assert (shown.author, shown.shortDescription) == ("Ada Łovelace", "Cats, dogs — and birds.")
    assert (shown.license, shown.versionString) == ("MIT", "2.1")
    assert shown.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert shown.userDefined["com.example.dataset"] == "Animals 🐈"
    assert shown.userDefined["note"] == 'a "quoted" one'
    assert not any("date" in key for key in shown.userDefined)


def test_weights_are_float32(small: bytes) -> None:
    network = SmallClassifier(3)
    (convolution,) = [
        layer.convolution
        for layer in read_mlmodel(small).network.layers
        if layer.WhichOneof("layer") == "convolution" and layer.convolution.kernelChannels == 3
    ]
    assert np.array_equal(np.array(convolution.weights.floatValue, np.float32), network.stem.weight.detach().flatten())


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(MeanColour(3), nn.Dropout()).double().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    convert_mlmodel(network, LABELS, ModelMetadata(), SIDE)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value.dtype == torch.float64 for value in network.parameters())


FRESH_PROCESS = """
import hashlib, warnings
warnings.simplefilter("default")
from mlsession.export import ModelMetadata
from mlsession.export.coreml import convert_mlmodel
from mlsession.export.mlpackage import convert_mlpackage
from tests.export.networks import LABELS, SIDE, SmallClassifier
arguments = SmallClassifier(3), LABELS, ModelMetadata(), SIDE
for data in (*convert_mlpackage(*arguments).values(), convert_mlmodel(*arguments)):
    print(hashlib.sha256(data).hexdigest())
"""


def test_a_fresh_process_gives_the_same_bytes_and_prints_nothing(
    trainers: Nursery, small: bytes, small_package: dict[str, bytes], tmp_path: Path
) -> None:
    """The process has another hash seed, and has not imported coremltools."""
    script = tmp_path / "convert.py"
    script.write_text(FRESH_PROCESS)
    code, output, errors = trainers.run(str(script))
    assert (code, errors) == (0, "")
    assert output.split() == [hashlib.sha256(data).hexdigest() for data in (*small_package.values(), small)]


def test_silence_ends_with_the_call() -> None:
    logger, filters = logging.getLogger("coremltools"), list(warnings.filters)
    before = (logger.level, list(logger.filters))
    record = logger.makeRecord("coremltools", logging.CRITICAL, "", 0, "chatter", (), None)
    with silenced_coremltools() as coremltools:
        from coremltools.converters.mil.mil.passes import pass_pipeline

        inside = pass_pipeline.tqdm
        assert list(inside(iter("ab"), desc="x", unit="y")) == ["a", "b"]
        assert not logger.filter(record)
    assert logger.filter(record)
    assert coremltools.__name__ == "coremltools"
    assert (logger.level, list(logger.filters)) == before
    assert warnings.filters == filters
    assert pass_pipeline.tqdm is not inside


@pytest.mark.parametrize(
    "labels",
    [
        ("one",),
        ("same", "same"),
        ("caf\u00e9", "cafe\u0301"),
        ("ends\0here", "whole"),
        ("half \ud83d", "whole"),
    ],
)
def test_labels_that_core_ml_cannot_hold_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParameter, match="labels"):
        convert_mlmodel(MeanColour(2), labels, ModelMetadata(), SIDE)


def test_labels_that_look_the_same_are_told_apart_in_the_message() -> None:
    with pytest.raises(InvalidParameter, match=r"'cafe\\u0301', and the label 'caf\\xe9' apart; rename one"):
        convert_mlmodel(MeanColour(2), ("caf\u00e9", "cafe\u0301"), ModelMetadata(), SIDE)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_network_with_another_number_of_classes_is_refused(num_classes: int) -> None:
    with pytest.raises(InvalidParameter, match=r"\[1, 3\]"):
        convert_mlmodel(MeanColour(num_classes), LABELS, ModelMetadata(), SIDE)


def test_a_side_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="side=0"):
        convert_mlmodel(MeanColour(3), LABELS, ModelMetadata(), 0)


class Spectral(nn.Module):
    """Computes what a Core ML neural network has no layer for."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(torch.fft.fft2(pixels).abs().mean(dim=(2, 3)), dim=1)


def test_a_network_that_core_ml_cannot_express_is_refused_in_one_line() -> None:
    with pytest.raises(
        InvalidParameter, match=r"network='Spectral'.*as a neural.*export it as \.mlpackage or \.safet"
    ) as caught:
        convert_mlmodel(Spectral(), LABELS, ModelMetadata(), SIDE)
    assert "\n" not in str(caught.value)


class Dishonest:
    """A model whose network changes between export and proof."""

    labels, side = LABELS, SIDE

    def __init__(self) -> None:
        self.seed = 0

    def network(self) -> nn.Module:
        self.seed += 1
        return MeanColour(3, seed=self.seed)


def test_the_exporter_proves_what_it_encoded() -> None:
    exporter, model, images = CoreMLExporter(), Trained(MeanColour(3), LABELS, SIDE), noise_images(4)
    encoded = exporter.encode(model, ModelMetadata())
    report = exporter.verify("Animals.mlmodel", encoded, model, images)
    assert report == ExportReport(
        path="Animals.mlmodel",
        format="Core ML neural network",
        spec_version=4,
        size_bytes=len(encoded.data),
        num_images=4,
        max_difference=report.max_difference,
        verified=True,
        tolerance=TOLERANCE,
        num_labels_equal=4,
        runtime=OWN_EVALUATOR,
        model_size_bytes=report.model_size_bytes,
        model_seconds=report.model_seconds,
    )
    assert report.model_size_bytes == 4 * sum(value.numel() for value in model.module.parameters())
    assert 0 <= (report.max_difference or 0.0) < 1e-5


def test_the_exporter_notices_another_network() -> None:
    exporter, model = CoreMLExporter(), Dishonest()
    encoded = exporter.encode(model, ModelMetadata())
    with pytest.raises(InternalError, match=r"x\.mlmodel.*picture \d"):
        exporter.verify("x.mlmodel", encoded, model, noise_images(2))


def test_the_exporter_notices_labels_in_another_order(small: bytes) -> None:
    model = Trained(SmallClassifier(3), ("dog", "cat", "bird"), SIDE)
    with pytest.raises(InternalError, match="its labels are"):
        CoreMLExporter().verify("x.mlmodel", Encoded.of_file(small), model, noise_images(2))


def shifted(data: bytes) -> bytes:
    """The same file with its centre crop moved by a pixel."""
    spec = coremltools_module().proto.Model_pb2.Model.FromString(data)
    crop = next(layer.slice for layer in spec.neuralNetworkClassifier.layers if layer.WhichOneof("layer") == "slice")
    crop.startIndex, crop.endIndex = crop.startIndex + 1, crop.endIndex + 1
    changed: bytes = spec.SerializeToString()
    return changed


def test_the_exporter_notices_other_preprocessing(small: bytes) -> None:
    images: Images = noise_images(4)
    model = Trained(SmallClassifier(3), LABELS, SIDE)
    assert CoreMLExporter().verify("x.mlmodel", Encoded.of_file(small), model, images).verified
    with pytest.raises(InternalError, match="differs from the trained model"):
        CoreMLExporter().verify("x.mlmodel", Encoded.of_file(shifted(small)), model, images)
