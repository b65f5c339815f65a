from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlsession.coreml.manifest import MANIFEST, MODEL, WEIGHTS
from mlsession.coreml.program import evaluate_mlpackage, read_mlpackage
from mlsession.coreml.silence import coremltools_module
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export import ModelMetadata
from mlsession.export.mlpackage import convert_mlpackage
from mlsession.randomness import keyed_generator
from tests.coreml.functions import Mixed
from tests.export.networks import LABELS, SIDE, noise_images

Files = dict[str, bytes]


def changed(files: Files, change: Callable[[Any], object]) -> Files:
    """The package after `change` of its protobuf."""
    spec = coremltools_module().proto.Model_pb2.Model.FromString(files[MODEL])
    change(spec)
    return {**files, MODEL: spec.SerializeToString()}


def block(spec: Any) -> Any:
    return next(iter(spec.mlProgram.functions["main"].block_specializations.values()))


def test_one_picture_does_not_change_another(small_package: Files) -> None:
    images = noise_images(3)
    together = evaluate_mlpackage(small_package, images)[1]
    alone = np.concatenate([evaluate_mlpackage(small_package, images[index : index + 1])[1] for index in range(3)])
    assert np.array_equal(together, alone)


def test_no_picture_gives_no_answer(small_package: Files) -> None:
    labels, probabilities = evaluate_mlpackage(small_package, noise_images(1)[:0])
    assert (labels, probabilities.shape) == ([], (0, 3))


def test_the_order_of_colours_is_that_of_the_description(small_package: Files) -> None:
    def as_bgr(spec: Any) -> None:
        image = spec.description.input[0].type.imageType
        image.colorSpace = image.BGR

    images = noise_images(2)
    swapped = evaluate_mlpackage(small_package, images[..., ::-1].copy())[1]
    assert np.array_equal(evaluate_mlpackage(changed(small_package, as_bgr), images)[1], swapped)
    assert not np.allclose(evaluate_mlpackage(small_package, images)[1], swapped, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3, SIDE, SIDE), (1, SIDE, SIDE + 1, 3), (SIDE, SIDE, 3)])
def test_pictures_of_another_shape_are_refused(small_package: Files, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidParameter, match=f"uint8 \\[N, {SIDE}, {SIDE}, 3\\]"):
        evaluate_mlpackage(small_package, np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "damage",
    [
        {MANIFEST: None},
        {MANIFEST: b""},
        {MANIFEST: b"[]"},
        {MANIFEST: b'{"rootModelIdentifier": "a", "itemInfoEntries": {}}'},
        {MODEL: None},
        {MODEL: b""},
        {MODEL: b"\xff" * 40},
        {WEIGHTS: None},
        {WEIGHTS: b""},
    ],
)
def test_a_package_that_is_not_whole_is_damaged(small_package: Files, damage: dict[str, bytes | None]) -> None:
    files = {name: data for name, data in {**small_package, **damage}.items() if data is not None}
    with pytest.raises(DamagedData):
        evaluate_mlpackage(files, noise_images(1))


def test_the_model_is_where_the_manifest_says(small_package: Files) -> None:
    manifest = json.loads(small_package[MANIFEST])
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "com.apple.CoreML/other.mlmodel"
    moved = {**small_package, MANIFEST: json.dumps(manifest).encode()}
    with pytest.raises(DamagedData, match=r"other\.mlmodel"):
        read_mlpackage(moved)
    moved["Data/com.apple.CoreML/other.mlmodel"] = moved.pop(MODEL)
    assert read_mlpackage(moved).labels == LABELS


def grey(spec: Any) -> None:
    spec.description.input[0].type.imageType.colorSpace = 10


def second_input(spec: Any) -> None:
    spec.description.input.add().name = "another"


def second_function(spec: Any) -> None:
    spec.mlProgram.functions["another"].SetInParent()


def another_kind(spec: Any) -> None:
    spec.identity.SetInParent()


def unknown_operation(spec: Any) -> None:
    next(each for each in block(spec).operations if each.type == "softmax").type = "lstm"


def unknown_input(spec: Any) -> None:
    operation = next(each for each in block(spec).operations if each.type == "softmax")
    operation.inputs["temperature"].CopyFrom(operation.inputs["axis"])


def no_choice(spec: Any) -> None:
    del block(spec).operations[-1]


def half_precision(spec: Any) -> None:
    constant = next(each for each in block(spec).operations if each.type == "const")
    constant.attributes["val"].immediateValue.tensor.bytes.values = b"\0\0"


@pytest.mark.parametrize(
    "change",
    [grey, second_input, second_function, another_kind, unknown_operation, unknown_input, no_choice, half_precision],
)
def test_other_kinds_of_model_are_refused(small_package: Files, change: Callable[[Any], None]) -> None:
    with pytest.raises(InvalidParameter, match=r"Core ML layer=.*cannot run"):
        evaluate_mlpackage(changed(small_package, change), noise_images(1))


def test_an_unknown_operation_is_named_with_another_format(small_package: Files) -> None:
    with pytest.raises(InvalidParameter, match=r"lstm.*export it as \.safetensors instead"):
        evaluate_mlpackage(changed(small_package, unknown_operation), noise_images(1))


def one_label_more(spec: Any) -> None:
    values = block(spec).operations[-1].inputs["classes"].arguments[0].value.immediateValue.list.values
    values.add().CopyFrom(values[0])


def another_output(spec: Any) -> None:
    spec.description.predictedFeatureName = "another"


def out_of_order(spec: Any) -> None:
    operations = block(spec).operations
    softmax = next(index for index, each in enumerate(operations) if each.type == "softmax")
    operations.insert(0, operations.pop(softmax))


def no_such_value(spec: Any) -> None:
    block(spec).operations[-1].inputs["probabilities"].arguments[0].name = "another"


def one_number_less(spec: Any) -> None:
    for operation in block(spec).operations:
        tensor = operation.attributes["val"].immediateValue.tensor
        if operation.type == "const" and len(tensor.ints.values) > 1:
            del tensor.ints.values[-1]


@pytest.mark.parametrize("change", [one_label_more, another_output, out_of_order, no_such_value, one_number_less])
def test_parts_that_do_not_fit_are_damage(small_package: Files, change: Callable[[Any], None]) -> None:
    with pytest.raises(DamagedData):
        evaluate_mlpackage(changed(small_package, change), noise_images(1))


def test_any_changed_byte_gives_an_answer_or_an_error_of_ours() -> None:
    files, images = convert_mlpackage(Mixed(), LABELS, ModelMetadata(), SIDE), noise_images(1)
    random, outcomes = keyed_generator(0, "changed bytes"), set()
    for turn in range(400):
        name = (MODEL, MODEL, WEIGHTS, MANIFEST)[turn % 4]
        damaged = bytearray(files[name])
        damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            evaluate_mlpackage({**files, name: bytes(damaged)}, images)
            outcomes.add("answer")
        except (DamagedData, InvalidParameter) as error:
            outcomes.add(type(error).__name__)
    assert outcomes == {"answer", "DamagedData", "NotRunHere"}
