"""Core ML files as feature extractors: classifiers by a value inside, networks and programs by their one output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mlsession as ml
from mlsession.coreml.interface import parse_model
from mlsession.coreml.manifest import root_model
from mlsession.errors import InvalidParameter
from mlsession.export.encoded import Encoded
from mlsession.export.protocol import Images
from mlsession.export.write import write_encoded
from mlsession.extractors.catalog import extractor_from_json, load_extractor
from tests.export.networks import SIDE, SmallClassifier, noise_images

FEATURES = 32


def written(folder: Path, model: bytes | dict[str, bytes]) -> Path:
    """A file, or a package."""
    path = folder / ("it.mlmodel" if isinstance(model, bytes) else "it.mlpackage")
    write_encoded(str(path), Encoded({"": model} if isinstance(model, bytes) else model))
    return path


def changed(model: bytes, change: Any) -> bytes:
    """An `.mlmodel` after `change` of its protobuf."""
    spec = parse_model(model, "neuralNetworkClassifier")
    change(spec)
    data: bytes = spec.SerializeToString()
    return data


def linear_input(model: bytes) -> str:
    """What the value is called that the last product of a network reads: its features."""
    layers = parse_model(model, "neuralNetworkClassifier").neuralNetworkClassifier.layers
    found = [each for each in layers if each.WhichOneof("layer") in ("innerProduct", "batchedMatmul")][-1]
    return str(found.input[0])


def as_network(model: bytes, **scaler: float) -> bytes:
    """The features of a classifier as the one output of a plain network in BGR, whose pictures are scaled first."""
    spec = parse_model(model, "neuralNetworkClassifier")
    wanted, layers = linear_input(model), list(spec.neuralNetworkClassifier.layers)
    spec.neuralNetwork.imageInputShapeMapping = spec.neuralNetwork.arrayInputShapeMapping = 1
    spec.neuralNetwork.layers.extend(layers)  # Another kind takes the place of the classifier.
    spec.neuralNetwork.preprocessing.add(featureName="").scaler.MergeFrom(_scaler(spec, scaler))
    del spec.description.output[:]
    output = spec.description.output.add(name=wanted)
    output.type.multiArrayType.shape.extend([1, FEATURES])
    spec.description.predictedFeatureName = spec.description.predictedProbabilitiesName = ""
    image = spec.description.input[0].type.imageType
    image.colorSpace = image.BGR
    data: bytes = spec.SerializeToString()
    return data


def _scaler(spec: Any, values: dict[str, float]) -> Any:
    step = type(spec.neuralNetwork)().preprocessing.add().scaler
    for name, value in values.items():
        setattr(step, name, value)
    return step


def features(images: Images) -> torch.Tensor:
    with torch.inference_mode():
        return SmallClassifier(3).features(torch.from_numpy(images).permute(0, 3, 1, 2).float())


@pytest.fixture(scope="module")
def images() -> Images:
    return noise_images(3, SIDE)


def test_a_classifier_is_one_by_a_value_inside(small: bytes, images: Images, tmp_path: Path) -> None:
    path = written(tmp_path, small)
    with pytest.raises(InvalidParameter, match=r"no multi-array output \(only 'labelProbability', 'label'\); .*inside"):
        ml.CustomFeatureExtractor(path)
    with pytest.raises(InvalidParameter, match=r"'label'.* gives no multi-array there; name a value inside"):
        ml.CustomFeatureExtractor(path, "label")
    with pytest.raises(InvalidParameter, match=r"mean=.* says itself how it takes its picture; leave it out"):
        ml.CustomFeatureExtractor(path, linear_input(small), mean=(0, 0, 0))
    spec = ml.CustomFeatureExtractor(path, linear_input(small), crop=False)
    assert (spec.dimension, spec.input_side, spec.contents.input.channels) == (FEATURES, SIDE, "RGB")
    extractor = load_extractor(spec)
    rows = extractor.extract(images)
    np.testing.assert_allclose(rows, features(images).numpy(), atol=1e-4)
    np.testing.assert_array_equal(extractor.extract(images[1:2]), rows[1:2])
    assert extractor_from_json(spec.to_json(), spec.location) == spec


def test_a_program_is_one_as_well(small_package: dict[str, bytes], images: Images, tmp_path: Path) -> None:
    path = written(tmp_path, small_package)
    (path / ".DS_Store").write_bytes(b"of the Finder")
    spec = parse_model(small_package[root_model(small_package)], "mlProgram")
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    name = next(each.inputs["x"].arguments[0].name for each in reversed(block.operations) if each.type == "linear")
    extractor = ml.CustomFeatureExtractor(path, name, crop=False)
    assert extractor.contents.weights.startswith("files-sha256:")
    rows = load_extractor(extractor).extract(images)
    np.testing.assert_allclose(rows, features(images).numpy(), atol=1e-4)


def test_colour_order_scale_and_bias_are_read(small: bytes, images: Images, tmp_path: Path) -> None:
    scaler = {"channelScale": 0.5, "redBias": 3.0, "greenBias": 2.0, "blueBias": 1.0}
    spec = ml.CustomFeatureExtractor(written(tmp_path, as_network(small, **scaler)), crop=False)
    it = spec.contents.input
    assert (spec.dimension, it.channels, it.scale, it.mean) == (FEATURES, "BGR", 0.5, (-1, -2, -3))
    turned = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = SmallClassifier(3).features(turned * 0.5 + torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1))
    extractor = load_extractor(spec)
    np.testing.assert_allclose(extractor.extract(images), expected.numpy(), atol=1e-4)
    with torch.inference_mode():
        graph = extractor.network()(torch.from_numpy(images).permute(0, 3, 1, 2).float())
    np.testing.assert_array_equal(graph.numpy(), extractor.extract(images))


def two_outputs(spec: Any) -> None:
    for layer in spec.neuralNetworkClassifier.layers[-2:]:
        spec.description.output.add(name=layer.output[0]).type.multiArrayType.shape.append(3)


def of_numbers(spec: Any) -> None:
    spec.description.input[0].type.multiArrayType.shape.extend([3, SIDE, SIDE])


def of_rank_5(spec: Any) -> None:
    spec.neuralNetworkClassifier.imageInputShapeMapping = 0


def a_tree(spec: Any) -> None:
    spec.treeEnsembleClassifier.SetInParent()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (two_outputs, r"has 2 multi-array outputs; without a name there must be exactly one: name one of '.*', '.*'"),
        (of_numbers, r"must take one picture \(an image input in RGB or BGR, square\)"),
        (of_rank_5, r"tensors of rank 5, older than specification 4; convert it again"),
        (a_tree, r"of the kind treeEnsembleClassifier; give a neural network or an ML program"),
    ],
)
def test_other_models_are_refused(change: Any, words: str, small: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=words):
        ml.CustomFeatureExtractor(written(tmp_path, changed(small, change)))


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"it.mlmodel.*is no Core ML model"):
        ml.CustomFeatureExtractor(written(tmp_path, b"\x0f\x00 no model"))
    (tmp_path / "bad.mlpackage").mkdir()
    (tmp_path / "bad.mlpackage" / "Manifest.json").write_text("{}")
    with pytest.raises(InvalidParameter, match=r"is no Core ML model: its Manifest.json names no model"):
        ml.CustomFeatureExtractor(tmp_path / "bad.mlpackage")
