from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export import ModelMetadata
from mlsession.export.coreml import convert_mlmodel
from mlsession.randomness import keyed_generator
from tests.coreml.functions import Mixed
from tests.export.networks import LABELS, SIDE, SmallClassifier, answers, noise_images


def changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    """The file after `change` of its protobuf."""
    spec = coremltools_module().proto.Model_pb2.Model.FromString(data)
    change(spec)
    result: bytes = spec.SerializeToString()
    return result


class Means(nn.Module):
    """Softmax of the mean of each channel: the order, scale and bias of the channels decide alone."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x.mean(dim=(2, 3)) * 2, dim=1)


@pytest.mark.parametrize("layout", ["RGB", "BGR"])
def test_scale_bias_and_colour_order_of_the_input_are_applied(layout: str) -> None:
    scale, bias = 1 / 100, (0.1, -0.7, 0.4)
    program = torch.export.export(Means(), (torch.zeros(1, 3, SIDE, SIDE),), strict=False).run_decompositions({})
    with silenced_coremltools() as coremltools:
        image = coremltools.ImageType(
            name="image",
            shape=(1, 3, SIDE, SIDE),
            scale=scale,
            bias=list(bias),
            color_layout=getattr(coremltools.colorlayout, layout),
        )
        model = coremltools.convert(
            program,
            convert_to="neuralnetwork",
            inputs=[image],
            classifier_config=coremltools.ClassifierConfig(list(LABELS)),
            minimum_deployment_target=coremltools.target.iOS13,
            skip_model_load=True,
        )
    images = noise_images(3)
    # coremltools states `bias` in the order of the channels as the network gets them.
    channels = images if layout == "RGB" else images[..., ::-1]
    expected = torch.softmax((torch.from_numpy(channels.mean(axis=(1, 2))) * scale + torch.tensor(bias)) * 2, dim=1)
    labels, probabilities = evaluate_mlmodel(model.get_spec().SerializeToString(), images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert labels == [LABELS[column] for column in expected.argmax(dim=1)]


def test_one_picture_does_not_change_another(small: bytes) -> None:
    images = noise_images(3)
    together = evaluate_mlmodel(small, images)[1]
    alone = np.concatenate([evaluate_mlmodel(small, images[index : index + 1])[1] for index in range(3)])
    assert np.array_equal(together, alone)


def test_no_picture_gives_no_answer(small: bytes) -> None:
    labels, probabilities = evaluate_mlmodel(small, noise_images(1)[:0])
    assert (labels, probabilities.shape) == ([], (0, 3))


def test_the_answer_comes_from_the_file_alone(small: bytes) -> None:
    def forget_the_linear_layer(spec: Any) -> None:
        linear = next(
            each.innerProduct
            for each in spec.neuralNetworkClassifier.layers
            if each.WhichOneof("layer") == "innerProduct"
        )
        linear.weights.floatValue[:] = [0.0] * len(linear.weights.floatValue)
        linear.bias.floatValue[:] = [0.0, 1.0, 0.0]

    images = noise_images(2)
    labels, probabilities = evaluate_mlmodel(changed(small, forget_the_linear_layer), images)
    assert labels == ["dog", "dog"]
    np.testing.assert_allclose(probabilities[0], np.exp([0, 1, 0]) / np.exp([0, 1, 0]).sum(), rtol=1e-6)
    assert not np.allclose(probabilities, answers(SmallClassifier(3), images), atol=1e-3)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, SIDE, SIDE, 3), np.float32),
        np.zeros((1, 3, SIDE, SIDE), np.uint8),
        np.zeros((1, SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((SIDE, SIDE, 3), np.uint8),
    ],
)
def test_pictures_of_another_shape_are_refused(small: bytes, images: Any) -> None:
    with pytest.raises(InvalidParameter, match=f"uint8 \\[N, {SIDE}, {SIDE}, 3\\]"):
        evaluate_mlmodel(small, images)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"\xff" * 40,
        lambda data: b"PK\x03\x04 not a model at all",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
    ],
)
def test_damaged_bytes_are_said_to_be_damaged(small: bytes, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DamagedData):
        evaluate_mlmodel(damage(small), noise_images(1))


def test_any_changed_byte_gives_an_answer_or_an_error_of_ours() -> None:
    data, images = convert_mlmodel(Mixed(), LABELS, ModelMetadata(), SIDE), noise_images(1)
    random, outcomes = keyed_generator(0, "changed bytes"), set()
    for _ in range(400):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] = random.integers(256)
        try:
            evaluate_mlmodel(bytes(damaged), images)
            outcomes.add("answer")
        except (DamagedData, InvalidParameter) as error:
            outcomes.add(type(error).__name__)
    assert outcomes == {"answer", "DamagedData", "NotRunHere"}


def no_labels(spec: Any) -> None:
    spec.neuralNetworkClassifier.ClearField("stringClassLabels")


def grey(spec: Any) -> None:
    spec.description.input[0].type.imageType.colorSpace = 10


def oblong(spec: Any) -> None:
    spec.description.input[0].type.imageType.width = 2 * SIDE


def second_input(spec: Any) -> None:
    spec.description.input.add().name = "another"


def rank_five(spec: Any) -> None:
    spec.neuralNetworkClassifier.imageInputShapeMapping = 0


def mean_image(spec: Any) -> None:
    spec.neuralNetworkClassifier.preprocessing.add().meanImage.meanImage.append(1.0)


def another_kind(spec: Any) -> None:
    spec.identity.SetInParent()


def unknown_layer(spec: Any) -> None:
    spec.neuralNetworkClassifier.layers[3].erf.SetInParent()


@pytest.mark.parametrize(
    "change", [no_labels, grey, oblong, second_input, rank_five, mean_image, another_kind, unknown_layer]
)
def test_other_kinds_of_model_are_refused(small: bytes, change: Callable[[Any], None]) -> None:
    with pytest.raises(InvalidParameter, match=r"Core ML layer=.*cannot run"):
        evaluate_mlmodel(changed(small, change), noise_images(1))


def one_label_more(spec: Any) -> None:
    spec.neuralNetworkClassifier.stringClassLabels.vector.append("fish")


def preprocessing_of_nothing(spec: Any) -> None:
    spec.neuralNetworkClassifier.preprocessing[0].featureName = "picture"


def no_last_layer(spec: Any) -> None:
    del spec.neuralNetworkClassifier.layers[-1]


@pytest.mark.parametrize("change", [one_label_more, preprocessing_of_nothing, no_last_layer])
def test_parts_that_do_not_fit_are_damage(small: bytes, change: Callable[[Any], None]) -> None:
    with pytest.raises(DamagedData):
        evaluate_mlmodel(changed(small, change), noise_images(1))


def test_contents_are_read_without_running(small: bytes) -> None:
    contents = read_mlmodel(changed(small, unknown_layer))
    assert (contents.labels, contents.side, contents.spec_version) == (LABELS, SIDE, 4)
