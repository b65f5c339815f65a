"""Classifiers on networks of one's own, of each kind, in each format: verified, or refused with the way out.

The table in docs/extractors.md says the same, and is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mlsession as ml
from mlsession.classifier.model import ImageModel
from mlsession.coreml.silence import silenced_coremltools
from mlsession.errors import InvalidParameter
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import EXPORT_SUFFIXES
from mlsession.export.verify import TOLERANCE
from mlsession.extractors.catalog import FeatureExtractorSpec, load_extractor
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from mlsession.training.models.exporting import exporter_of
from tests.extractors.own_networks import HALVES, SIDE, tiny, tiny_onnx, with_sine, write_onnx, write_program
from tests.extractors.photos import prepared

LABELS = ("Kiwi", "Lemon", "Tomato")
NORMALISED: dict[str, Any] = {"mean": HALVES, "std": HALVES}
DOCS = Path(__file__).parents[2] / "docs" / "extractors.md"

Make: TypeAlias = Callable[[Path], FeatureExtractorSpec]


def core_ml(folder: Path, suffix: str) -> ml.CustomFeatureExtractor:
    """The tiny network as coremltools converts it for anybody: a picture in, one multi-array out."""
    path = folder / f"tiny{suffix}"
    with torch.no_grad():
        program = torch.export.export(tiny(), (torch.zeros(1, 3, SIDE, SIDE),)).run_decompositions({})
    with silenced_coremltools() as coremltools:
        image = coremltools.ImageType(name="image", shape=(1, 3, SIDE, SIDE), scale=1 / 127.5, bias=[-1.0, -1.0, -1.0])
        options: dict[str, Any] = {"inputs": [image], "skip_model_load": True}
        options["outputs"] = [coremltools.TensorType(name="features")]
        if suffix == ".mlmodel":
            model = coremltools.convert(program, convert_to="neuralnetwork", **options)
            path.write_bytes(model.get_spec().SerializeToString())
        else:
            options["compute_precision"] = coremltools.precision.FLOAT32
            coremltools.convert(program, convert_to="mlprogram", **options).save(str(path))
    return ml.CustomFeatureExtractor(path)


def timm_network(folder: Path) -> FeatureExtractorSpec:
    """A small network of timm with weights in a file."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = timm.create_model("test_resnet", pretrained=False).state_dict()
    save_file({name: each.clone() for name, each in weights.items()}, folder / "it.safetensors")
    return ml.timm_extractor("test_resnet", weights=folder / "it.safetensors")


def torchvision_network(folder: Path) -> FeatureExtractorSpec:
    import torchvision  # type: ignore[import-untyped]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict()
    torch.save(weights, folder / "it.pth")
    return ml.torchvision_extractor("shufflenet_v2_x0_5", weights=folder / "it.pth")


KINDS: dict[str, Make] = {
    "`.onnx`": lambda folder: ml.CustomFeatureExtractor(write_onnx(folder / "t.onnx", tiny_onnx()), **NORMALISED),
    "`.onnx` with another operator": lambda folder: ml.CustomFeatureExtractor(with_sine(folder), **NORMALISED),
    "`.onnx` that takes one picture at once": lambda folder: ml.CustomFeatureExtractor(
        write_onnx(folder / "one.onnx", tiny_onnx(shape=(1, 3, SIDE, SIDE))), **NORMALISED
    ),
    "`.pt2`": lambda folder: ml.CustomFeatureExtractor(write_program(folder / "t.pt2", tiny()), **NORMALISED),
    "`.pt2` that takes one picture at once, or has a bound": lambda folder: ml.CustomFeatureExtractor(
        write_program(folder / "one.pt2", tiny(), batch=1), **NORMALISED
    ),
    "a module": lambda _: ml.CustomFeatureExtractor(
        "tests.extractors.own_networks:tiny", input_side=SIDE, **NORMALISED
    ),
    "`.mlmodel`": lambda folder: core_ml(folder, ".mlmodel"),
    "`.mlpackage`": lambda folder: core_ml(folder, ".mlpackage"),
    "timm or torchvision with a file of weights": timm_network,
}
"""By what the table calls them."""
BOUNDED = "`.pt2` that takes one picture at once, or has a bound"
ALSO: list[tuple[str, Make]] = [
    ("timm or torchvision with a file of weights", torchvision_network),
    (
        BOUNDED,
        lambda folder: ml.CustomFeatureExtractor(write_program(folder / "b.pt2", tiny(), most=8), **NORMALISED),
    ),
]


def table() -> dict[str, dict[str, bool]]:
    """What the documentation says: by kind and suffix, whether it can be exported so."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("| from |"))
    header = [cell.strip().strip("`") for cell in lines[start].strip("|").split("|")]
    rows: dict[str, dict[str, bool]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        kind, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert all(cell.startswith(("yes", "no")) for cell in cells), line
        rows[kind] = {suffix: cell.startswith("yes") for suffix, cell in zip(header[1:], cells, strict=True)}
    return rows


def test_the_table_has_every_kind_and_format() -> None:
    assert list(table()) == list(KINDS)
    assert {tuple(row) for row in table().values()} == {EXPORT_SUFFIXES}


def on_top(spec: FeatureExtractorSpec, pictures: Any) -> ImageModel:
    """A classifier whose answers differ between pictures."""
    features = load_extractor(spec).extract(pictures)
    weight = keyed_generator(0, "own head").normal(size=(len(LABELS), spec.dimension)).astype(np.float32)
    weight *= np.float32(3 / (features @ weight.T).std(axis=0).mean())
    bias = np.asarray(-(features @ weight.T).mean(axis=0), np.float32)
    return ImageModel(labels=LABELS, feature_extractor=spec, head=LogisticHead(weight=weight, bias=bias))


def photos(side: int) -> Any:
    """uint8 [3, side, side, 3]."""
    whole = np.concatenate([prepared(label)[:1] for label in LABELS])
    step = max(whole.shape[1] // side, 1)
    return np.ascontiguousarray(whole[:, ::step, ::step][:, :side, :side])


CASES = [(kind, suffix, make) for kind, make in (*KINDS.items(), *ALSO) for suffix in EXPORT_SUFFIXES]


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize(
    ("kind", "suffix", "make"),
    CASES,
    ids=[f"{kind}, {suffix}" for kind, suffix, _ in CASES],
)
def test_each_kind_is_exported_to_what_it_can_be(kind: str, suffix: str, make: Make, tmp_path: Path) -> None:
    spec = make(tmp_path)
    pictures = photos(spec.input_side)
    model, exporter = on_top(spec, pictures), exporter_of(suffix)
    if not table()[kind][suffix]:
        with pytest.raises(InvalidParameter, match=r"export (it as|the head alone).*\.safetensors"):
            exporter.encode(model, ModelMetadata())
        return
    encoded = exporter.encode(model, ModelMetadata())
    report = exporter.verify(f"it{suffix}", encoded, model, pictures)
    assert (report.verified, report.num_images, report.num_labels_equal) == (True, 3, 3)
    assert (report.max_difference or 0.0) < TOLERANCE / 10
