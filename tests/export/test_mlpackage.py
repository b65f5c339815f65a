from __future__ import annotations

import gc
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from mlsession.coreml.blobs import read_numbers
from mlsession.coreml.manifest import MANIFEST, MODEL, WEIGHTS
from mlsession.coreml.program import evaluate_mlpackage, read_mlpackage
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export import Encoded, ExportReport, ModelMetadata
from mlsession.export.in_memory import in_memory_model
from mlsession.export.mlpackage import MLPackageExporter, convert_mlpackage
from mlsession.export.verify import OWN_EVALUATOR, TOLERANCE
from mlsession.export.write_folder import write_package
from tests.export.networks import LABELS, SIDE, MeanColour, SmallClassifier, Trained, answers, noise_images
from tests.export.test_coreml import ODD_LABELS, Dishonest, Spectral

pytestmark = pytest.mark.sampled(0.6)

METADATA = ModelMetadata(
    author="Ada Łovelace",
    short_description="Cats, dogs — and birds.",
    license="MIT",
    version="2.1",
    additional={"com.example.dataset": "Animals 🐈"},
)


@pytest.fixture(scope="module")
def odd() -> dict[str, bytes]:
    """A package with odd labels and all metadata."""
    return convert_mlpackage(MeanColour(len(ODD_LABELS)), ODD_LABELS, METADATA, SIDE)


def test_the_package_answers_as_the_network_does(small_package: dict[str, bytes]) -> None:
    network, images = SmallClassifier(3), noise_images(6)
    found, probabilities = evaluate_mlpackage(small_package, images)
    expected = answers(network, images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert found == [LABELS[column] for column in expected.argmax(axis=1)]
    # The pictures do not all look the same to it, so a program that ignores its input would not pass.
    assert len(set(found)) > 1
    assert probabilities.dtype == np.float32


def test_odd_labels_survive_in_order(odd: dict[str, bytes]) -> None:
    assert read_mlpackage(odd).labels == ODD_LABELS
    assert set(evaluate_mlpackage(odd, noise_images(6))[0]) <= set(ODD_LABELS)


def test_the_interface_is_that_of_the_neural_network(small_package: dict[str, bytes]) -> None:
    contents = read_mlpackage(small_package)
    description = contents.description
    assert contents.spec_version == 6  # iOS 15, macOS 12
    (image,) = description.input
    assert (image.name, image.type.imageType.width, image.type.imageType.height) == ("image", SIDE, SIDE)
    kinds = {output.name: output.type.WhichOneof("Type") for output in description.output}
    assert kinds == {"label": "stringType", "labelProbability": "dictionaryType"}
    assert (description.predictedFeatureName, description.predictedProbabilitiesName) == ("label", "labelProbability")
    assert list(contents.block.outputs) == ["label", "labelProbability"]
    assert all(feature.shortDescription for feature in (*description.input, *description.output))


def test_metadata_are_where_xcode_looks_for_them(odd: dict[str, bytes]) -> None:
    shown = read_mlpackage(odd).description.metadata
    assert (shown.author, shown.shortDescription) == ("Ada Łovelace", "Cats, dogs — and birds.")
    assert (shown.license, shown.versionString) == ("MIT", "2.1")
    assert shown.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert shown.userDefined["com.example.dataset"] == "Animals 🐈"
    assert not any("date" in key for key in shown.userDefined)


def test_weights_are_float32_in_a_file_of_their_own(small_package: dict[str, bytes]) -> None:
    block = read_mlpackage(small_package).block
    (stem,) = [each for each in block.operations if [output.name for output in each.outputs] == ["p_stem_weight"]]
    place = stem.attributes["val"].blobFileValue
    assert place.fileName == "@model_path/weights/weight.bin"
    expected = SmallClassifier(3).stem.weight.detach().numpy()
    assert np.array_equal(read_numbers(small_package[WEIGHTS], place.offset, expected.shape, WEIGHTS), expected)


@pytest.mark.parametrize("few", [False, True], ids=["many weights", "so few that none lie in a file of their own"])
def test_apples_own_library_reads_the_package(small_package: dict[str, bytes], few: bool, tmp_path: Path) -> None:
    files = convert_mlpackage(MeanColour(3), LABELS, ModelMetadata(), SIDE) if few else small_package
    assert list(files) == ([MODEL, MANIFEST] if few else [WEIGHTS, MODEL, MANIFEST])
    path = tmp_path / "Animals.mlpackage"
    write_package(str(path), files)
    with silenced_coremltools() as coremltools:
        from coremltools.libmodelpackage import ModelPackage

        assert ModelPackage.isValid(str(path))
        assert Path(ModelPackage(str(path)).getRootModel().path()) == path / MODEL
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
        assert model.get_spec().SerializeToString(deterministic=True) == files[MODEL]


def test_equal_models_give_equal_packages_and_others_other_identifiers(
    small_package: dict[str, bytes], odd: dict[str, bytes]
) -> None:
    assert convert_mlpackage(SmallClassifier(3), LABELS, ModelMetadata(), SIDE) == small_package
    roots = {json.loads(files[MANIFEST])["rootModelIdentifier"] for files in (small_package, odd)}
    assert len(roots) == 2


def test_the_exporter_proves_what_it_encoded(small_package: dict[str, bytes]) -> None:
    exporter, model = MLPackageExporter(), Trained(SmallClassifier(3), LABELS, SIDE)
    encoded = Encoded(small_package)
    report = exporter.verify("Animals.mlpackage", encoded, model, noise_images(4))
    assert report == ExportReport(
        path="Animals.mlpackage",
        format="Core ML program",
        spec_version=6,
        size_bytes=sum(len(data) for data in small_package.values()),
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
    exporter, model = MLPackageExporter(), Dishonest()
    with pytest.raises(InternalError, match=r"x\.mlpackage.*picture \d"):
        exporter.verify("x.mlpackage", exporter.encode(model, ModelMetadata()), model, noise_images(2))


def test_the_exporter_notices_other_weights(small_package: dict[str, bytes]) -> None:
    model, weights = Trained(SmallClassifier(3), LABELS, SIDE), bytearray(small_package[WEIGHTS])
    weights[200:204] = np.float32(5).tobytes()
    with pytest.raises(InternalError, match="differs from the trained model"):
        MLPackageExporter().verify(
            "x.mlpackage", Encoded({**small_package, WEIGHTS: bytes(weights)}), model, noise_images(4)
        )


def test_a_network_that_core_ml_cannot_express_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidParameter, match=r"network='Spectral'.*export it as \.safetensors instead") as caught:
        convert_mlpackage(Spectral(), LABELS, ModelMetadata(), SIDE)
    assert "\n" not in str(caught.value)


def test_a_conversion_that_fails_leaves_no_folder_to_the_collection_of_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.disable()
    try:
        with pytest.raises(InvalidParameter, match="Spectral"):
            convert_mlpackage(Spectral(), LABELS, ModelMetadata(), SIDE)
        assert list(tmp_path.iterdir()) == []
    finally:
        gc.enable()


class Greyer(nn.Module):
    """Has what only ML programs are run with: an operation that adds an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.means = MeanColour(3)

    def forward(self, pixels: Tensor) -> Tensor:
        probabilities: Tensor = self.means(pixels + pixels.mean(1).unsqueeze(1))
        return probabilities


@pytest.mark.parametrize("kind", ["neuralNetworkClassifier", "mlProgram"])
def test_a_model_in_memory_is_a_neural_network_where_it_can_be_one(kind: str) -> None:
    network = SmallClassifier(3) if kind == "neuralNetworkClassifier" else Greyer()
    model = in_memory_model(Trained(network, LABELS, SIDE), METADATA, noise_images(2))
    assert isinstance(model, coremltools_module().models.MLModel)
    assert model.get_spec().WhichOneof("Type") == kind
    assert (model.author, model.license, model.version) == ("Ada Łovelace", "MIT", "2.1")
