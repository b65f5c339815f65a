"""`.onnx` and `.pt2`: graphs that take pictures of any size and number, run by the runtimes that they are for."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import util
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn

from mlsession.errors import DamagedData, InternalError, InvalidParameter, UsageError
from mlsession.export import Encoded, ModelMetadata, capture
from mlsession.export.onnx import OPSET, ONNXExporter, convert_onnx
from mlsession.export.protocol import ExportableModel, Exporter, Images
from mlsession.export.pt2 import PT2Exporter, convert_pt2
from mlsession.export.scaling import AnySize
from mlsession.export.verify import SCALED_TOLERANCE, TOLERANCE, proof_images
from mlsession.export.verify_sizes import other_sizes
from mlsession.export.write import check_destination
from mlsession.images.geometry import to_square
from tests.export.networks import LABELS, SIDE, MeanColour, SmallClassifier, Trained, answers, noise_images
from tests.export.test_coreml import ODD_LABELS

pytestmark = pytest.mark.sampled(0.5)

METADATA = ModelMetadata(
    author="Ada Łovelace",
    short_description="Cats — and\nbirds.",
    license="MIT",
    version="2.1",
    additional={"note": "🐈"},
)
EXPORTERS: dict[str, Exporter[ExportableModel]] = {".onnx": ONNXExporter(), ".pt2": PT2Exporter()}
CONVERTERS: dict[str, Callable[..., bytes]] = {".onnx": convert_onnx, ".pt2": convert_pt2}


@dataclass(frozen=True)
class Read:
    """A file as its runtime has it."""

    run: Callable[[Images], np.ndarray[Any, Any]]
    labels: list[str]
    said: dict[str, str]


def read(suffix: str, data: bytes) -> Read:
    """As the documentation says that files are read; nothing of ours takes part."""
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        said = session.get_modelmeta().custom_metadata_map
        return Read(lambda pictures: session.run(None, {"image": pictures})[0], json.loads(said["labels"]), said)
    extra = {"labels.json": "", "metadata.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(io.BytesIO(data), extra_files=extra).module()

    def run(pictures: Images) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = module(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()
        return found

    return Read(run, json.loads(extra["labels.json"]), json.loads(extra["metadata.json"]))


@pytest.fixture(scope="module", params=EXPORTERS)
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(suffix: str) -> bytes:
    return CONVERTERS[suffix](SmallClassifier(3), LABELS, METADATA, SIDE)


def test_the_file_answers_as_the_network_does(suffix: str, made: bytes) -> None:
    images, found = noise_images(5), read(suffix, made)
    expected = answers(SmallClassifier(3), images)
    assert len(set(expected.argmax(axis=1))) > 1
    for pictures, rows in ((images, expected), (images[:1], expected[:1]), (images[1:3], expected[1:3])):
        probabilities = found.run(np.ascontiguousarray(pictures))
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, rows, atol=1e-5)
    assert found.labels == list(LABELS)


def test_pictures_of_any_size_are_scaled_inside(suffix: str, made: bytes) -> None:
    found = read(suffix, made)
    for picture in other_sizes(SIDE):
        square = np.array(to_square(Image.fromarray(picture), SIDE))
        expected = answers(SmallClassifier(3), square[None])
        np.testing.assert_allclose(found.run(picture[None].copy()), expected, atol=SCALED_TOLERANCE)


def test_it_says_what_it_is(suffix: str, made: bytes) -> None:
    said = read(suffix, made).said
    assert (said["author"], said["license"], said["version"]) == ("Ada Łovelace", "MIT", "2.1")
    assert (said["short_description"], said["note"]) == ("Cats — and\nbirds.", "🐈")
    assert "uint8" in said["input"]
    assert f"short side to {SIDE} pixels" in said["geometry"]


def test_onnx_says_it_in_its_own_words_too(suffix: str, made: bytes) -> None:
    if suffix != ".onnx":
        pytest.skip("of ONNX alone")
    model = onnx.load_model_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    said = {each.key: each.value for each in model.metadata_props}
    assert (said["model_author"], said["model_license"], model.doc_string) == (
        "Ada Łovelace",
        "MIT",
        "Cats — and\nbirds.",
    )
    assert (said["Image.BitmapPixelFormat"], said["Image.NominalPixelRange"]) == ("Rgb8", "NominalRange_0_255")
    (image,), (output,) = model.graph.input, model.graph.output
    assert [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim] == [
        "batch",
        "height",
        "width",
        3,
    ]
    assert (image.name, image.type.denotation, image.type.tensor_type.elem_type) == (
        "image",
        "IMAGE",
        onnx.TensorProto.UINT8,
    )
    assert output.name == "probabilities"
    assert [size.dim_param or size.dim_value for size in output.type.tensor_type.shape.dim] == ["batch", 3]


def test_nothing_of_this_machine_is_in_it(suffix: str, made: bytes) -> None:
    assert not re.search(rb"site-packages|\.py\"|/export/", made)


def test_the_same_input_gives_the_same_bytes(suffix: str, made: bytes) -> None:
    assert CONVERTERS[suffix](SmallClassifier(3), LABELS, METADATA, SIDE) == made


def test_what_is_given_wrongly_is_refused_by_the_file(suffix: str, made: bytes) -> None:
    found = read(suffix, made)
    refusals = (RuntimeError, AssertionError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument)
    with pytest.raises(refusals, match=r"dtype|data type"):
        found.run(noise_images(1).astype(np.float32))
    with pytest.raises(refusals, match=r"3"):
        found.run(np.ascontiguousarray(noise_images(1).transpose(0, 3, 1, 2)))


def test_a_thousand_labels_of_all_kinds_survive_in_order(suffix: str) -> None:
    labels = (*ODD_LABELS, *(f"class {number}" for number in range(1000 - len(ODD_LABELS))))
    model, exporter = Trained(MeanColour(1000), labels, SIDE), EXPORTERS[suffix]
    encoded = exporter.encode(model, ModelMetadata())
    assert read(suffix, encoded.data).labels == list(labels)
    report = exporter.verify("x", encoded, model, proof_images(SIDE))
    assert (report.verified, (report.max_difference or 0.0) < TOLERANCE / 10) == (True, True)


def test_the_proof_says_all_that_was_found(suffix: str, made: bytes) -> None:
    model, images = Trained(SmallClassifier(3), LABELS, SIDE), proof_images(SIDE)
    report = EXPORTERS[suffix].verify(f"Model{suffix}", Encoded.of_file(made), model, images)
    assert (report.path, report.size_bytes, report.num_images) == (f"Model{suffix}", len(made), len(images))
    assert (report.verified, report.num_labels_equal, report.tolerance) == (True, len(images), TOLERANCE)
    assert (report.max_difference or 0.0) < TOLERANCE / 10
    assert report.scaled_difference is not None
    assert report.scaled_difference < SCALED_TOLERANCE
    assert (
        report.runtime
        == {
            ".onnx": f"ONNX Runtime {onnxruntime.__version__}",
            ".pt2": f"torch {torch.__version__}",
        }[suffix]
    )
    assert report.spec_version == (OPSET if suffix == ".onnx" else torch._export.serde.schema.SCHEMA_VERSION[0])
    assert report.seconds is not None
    assert report.model_seconds is not None
    assert min(report.seconds, report.model_seconds) > 0
    assert report.model_size_bytes == 4 * sum(value.numel() for value in model.module.parameters())
    assert json.loads(report.to_bytes())["scaled_difference"] == report.scaled_difference


def test_another_network_is_noticed(suffix: str, made: bytes) -> None:
    model = Trained(SmallClassifier(3, seed=1), LABELS, SIDE)
    with pytest.raises(InternalError, match=r"x\.what.*picture \d"):
        EXPORTERS[suffix].verify("x.what", Encoded.of_file(made), model, noise_images(2))


def test_labels_in_another_order_are_noticed(suffix: str, made: bytes) -> None:
    model = Trained(SmallClassifier(3), ("dog", "cat", "bird"), SIDE)
    with pytest.raises(InternalError, match="its labels are"):
        EXPORTERS[suffix].verify("x", Encoded.of_file(made), model, noise_images(2))


class Sided(nn.Module):
    """Compares the left of its picture with the right: what is cut or scaled otherwise shows.

    It is undecided at 45 levels, which the wide one of `other_sizes` has.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        columns = pixels.mean(dim=(1, 2))
        half = pixels.shape[-1] // 2
        more = (columns[:, :half].mean(dim=1) - columns[:, half:].mean(dim=1) - 45) / 16
        return torch.softmax(torch.stack([more, -more], dim=1), dim=1)


def test_other_scaling_is_noticed(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, model = EXPORTERS[suffix], Trained(Sided(), LABELS[:2], SIDE)
    images = noise_images(2)
    monkeypatch.setattr(capture, "AnySize", Stretched)
    encoded = exporter.encode(model, ModelMetadata())
    found = read(suffix, encoded.data).run(images)
    np.testing.assert_allclose(found, answers(model.module, images), atol=1e-5)
    with pytest.raises(InternalError, match="differs from the trained model"):
        exporter.verify("x", encoded, model, images)


class Stretched(AnySize):
    """Right for squares; of other pictures it makes squares as many programs do, by stretching them."""

    def forward(self, image: Tensor) -> Tensor:
        pictures = (image.permute(0, 3, 1, 2) if self.channels_last else image).to(torch.float32)
        square = F.interpolate(pictures, size=(self.side, self.side), mode="bilinear", align_corners=False)
        answer: Tensor = self.network(square)
        return answer


@pytest.mark.parametrize("labels", [("one",), ("same", "same"), ("half \ud83d", "whole")])
def test_labels_that_cannot_be_are_refused(suffix: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParameter, match="labels"):
        CONVERTERS[suffix](MeanColour(2), labels, ModelMetadata(), SIDE)


class Wilful(nn.Module):
    """Decides by what it sees, which is no graph."""

    def forward(self, pixels: Tensor) -> Tensor:
        mean = pixels.mean(dim=(1, 2, 3)) / 255
        return torch.stack([mean, 1 - mean], dim=1) if float(mean[0]) > 0.5 else torch.stack([1 - mean, mean], dim=1)


def test_what_is_no_graph_is_refused_in_one_line(suffix: str) -> None:
    with pytest.raises(InvalidParameter, match=r"network='Wilful': torch\.export cannot.*export it as") as caught:
        CONVERTERS[suffix](Wilful(), ("a", "b"), ModelMetadata(), SIDE)
    assert "\n" not in str(caught.value)


def test_a_fact_that_the_file_states_itself_is_refused(suffix: str) -> None:
    with pytest.raises(InvalidParameter, match="additional='labels'"):
        CONVERTERS[suffix](MeanColour(2), ("a", "b"), replace(METADATA, additional={"labels": "x"}), SIDE)


def test_bytes_that_are_no_model_are_damage() -> None:
    model = Trained(MeanColour(2), ("a", "b"), SIDE)
    with pytest.raises(DamagedData, match=r"x\.onnx.*cannot load it"):
        ONNXExporter().verify("x.onnx", Encoded.of_file(b"no model"), model, noise_images(1))


def test_a_missing_package_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "mlsession.export.requirements.find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    check_destination("Model.pt2")
    with pytest.raises(UsageError, match=r"\.onnx files need onnxscript.*pip install 'mlsession\[onnx\]'"):
        check_destination("Model.onnx")
