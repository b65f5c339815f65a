"""Networks of one's own: the same features as where they came from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import mlsession as ml
from mlsession.errors import InvalidParameter, ModelNotFound
from mlsession.extractors.catalog import extractor_from_json, load_extractor, runtime_for
from mlsession.store import open_store
from mlsession.testing.tiny_extractor import TinyExtractor
from tests.extractors import own_networks
from tests.extractors.own_networks import HALVES, SIDE, Twofold, halved, tiny, tiny_onnx, write_onnx, write_program
from tests.extractors.photos import prepared

HERE = "tests.extractors.own_networks"
NORMALISED: dict[str, Any] = {"mean": HALVES, "std": HALVES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network in each form that torch and ONNX have."""
    folder = tmp_path_factory.mktemp("own")
    write_onnx(folder / "tiny.onnx", tiny_onnx())
    write_onnx(folder / "two.onnx", tiny_onnx(outputs=("features", "map")))
    write_onnx(folder / "one.onnx", tiny_onnx(shape=(1, 3, SIDE, SIDE)))
    write_onnx(folder / "three.onnx", tiny_onnx(shape=(3, 3, SIDE, SIDE)))
    write_onnx(folder / "free.onnx", tiny_onnx(shape=("batch", 3, "height", "width")))
    write_onnx(folder / "last.onnx", tiny_onnx(shape=("batch", SIDE, SIDE, 3)))
    write_onnx(folder / "bytes.onnx", tiny_onnx(shape=("batch", SIDE, SIDE, 3), kind=TensorProto.UINT8))
    outside = tiny_onnx()
    onnx.save_model(outside, folder / "outside.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    write_program(folder / "tiny.pt2", tiny())
    write_program(folder / "bounded.pt2", tiny(), most=4)
    write_program(folder / "three.pt2", Twofold(), batch=3)
    return folder


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    """uint8 [6, 32, 32, 3]: real photos, every eighth pixel; no multiple of the batch size."""
    return np.ascontiguousarray(np.concatenate([prepared("Kiwi")[:3], prepared("Lemon")[:3]])[:, ::8, ::8])


@pytest.fixture(scope="module")
def expected(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return TinyExtractor().load().extract(pictures)


WAYS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "onnx": ("tiny.onnx", None, NORMALISED),
    "onnx of one at once": ("one.onnx", None, NORMALISED),
    "onnx of three at once": ("three.onnx", None, NORMALISED),
    "onnx of any size": ("free.onnx", None, {**NORMALISED, "input_side": SIDE}),
    "onnx by name": ("two.onnx", "features", {"mean": HALVES, "std": HALVES, "scale": 1 / 255}),
    "onnx, channels last": ("last.onnx", None, {"mean": (127.5,) * 3, "std": (127.5,) * 3, "scale": 1}),
    "onnx of whole numbers": ("bytes.onnx", None, {}),
    "onnx with weights beside": ("outside.onnx", None, NORMALISED),
    "program": ("tiny.pt2", None, NORMALISED),
    "program of up to four": ("bounded.pt2", None, NORMALISED),
    "program of three at once": ("three.pt2", "features", NORMALISED),
    "module": (f"{HERE}:Twofold", "features", {**NORMALISED, "input_side": SIDE}),
    "module of a function": (f"{HERE}:tiny", "output", {**NORMALISED, "input_side": SIDE}),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_gives_the_features_of_the_network_that_it_came_from(
    way: str, folder: Path, pictures: npt.NDArray[np.uint8], expected: npt.NDArray[np.float32]
) -> None:
    path, output, options = WAYS[way]
    spec = ml.CustomFeatureExtractor(path if ":" in path else folder / path, output, **options)
    assert (spec.dimension, spec.input_side) == (32, 32)
    extractor = load_extractor(spec)
    rows = extractor.extract(pictures)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    np.testing.assert_array_equal(extractor.extract(pictures[2:3]), rows[2:3])  # Whatever is beside it.
    again = extractor_from_json(spec.to_json(), spec.location)
    assert (again, again.identity) == (spec, spec.identity)
    with torch.inference_mode():
        graph = extractor.network()(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(graph.numpy(), rows, atol=1e-5)


def test_half_precision_is_run_as_it_is(
    tmp_path: Path, pictures: npt.NDArray[np.uint8], expected: npt.NDArray[np.float32]
) -> None:
    spec = ml.CustomFeatureExtractor(write_onnx(tmp_path / "half.onnx", halved(tiny_onnx())), **NORMALISED)
    assert " float16 RGB" in spec.identity
    extractor = load_extractor(extractor_from_json(spec.to_json(), spec.location))
    rows = extractor.extract(pictures)
    assert rows.dtype == np.float32
    assert 1e-6 < np.abs(rows - expected).max() < 1e-2 * np.abs(expected).max()
    np.testing.assert_array_equal(rows, rows.astype(np.float16).astype(np.float32))
    with torch.inference_mode():  # What is exported computes in float32, within what a graph may differ by.
        graph = extractor.network()(torch.from_numpy(pictures).permute(0, 3, 1, 2).float()).numpy()
    assert np.abs(graph - rows).max() <= 1e-3 * np.abs(rows).max()
    with pytest.raises(InvalidParameter, match=r"it.pt2'.*is float16; export it in float32: network\.float\(\)"):
        ml.CustomFeatureExtractor(write_program(tmp_path / "it.pt2", tiny().half(), kind=torch.float16))


def test_a_value_inside_is_flattened(folder: Path, pictures: npt.NDArray[np.uint8]) -> None:
    spec = ml.CustomFeatureExtractor(folder / "tiny.onnx", "map", **NORMALISED)
    assert spec.dimension == 32 * 2 * 2
    normalised = (torch.from_numpy(pictures[:, 2:30, 2:30]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        found = tiny()[:6](normalised).flatten(1).numpy()  # type: ignore[index]
    np.testing.assert_allclose(load_extractor(spec).extract(pictures), found, atol=1e-5)


def test_without_a_crop_the_network_sees_the_whole_picture(
    folder: Path, pictures: npt.NDArray[np.uint8], expected: npt.NDArray[np.float32]
) -> None:
    spec = ml.CustomFeatureExtractor(folder / "tiny.onnx", crop=False, **NORMALISED)
    assert spec.input_side == SIDE
    np.testing.assert_allclose(load_extractor(spec).extract(pictures[:, 2:30, 2:30]), expected, atol=1e-5)


def test_imagenet_is_the_default_only_where_nothing_is_said(folder: Path) -> None:
    path = folder / "tiny.onnx"
    usual = ml.CustomFeatureExtractor(path).contents.input
    assert (usual.scale, usual.mean, usual.std) == (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    scaled = ml.CustomFeatureExtractor(path, scale=1).contents.input
    assert (scaled.scale, scaled.mean, scaled.std) == (1, (0, 0, 0), (1, 1, 1))
    assert ml.CustomFeatureExtractor(path, mean=HALVES).contents.input.std == (1, 1, 1)


def test_it_is_the_same_wherever_it_lies_and_whatever_it_is_called(folder: Path, tmp_path: Path) -> None:
    spec = ml.CustomFeatureExtractor(folder / "tiny.onnx", **NORMALISED)
    options = {"skip_instance_cache": True}
    open_store("memory://own-extractors").put("other.onnx", (folder / "tiny.onnx").read_bytes())
    there = ml.CustomFeatureExtractor("memory://own-extractors/other.onnx", **NORMALISED, storage_options=options)
    assert (there, there.identity, there.to_json()) == (spec, spec.identity, spec.to_json())
    assert (there.name, spec.name) == ("custom:other.onnx", "custom:tiny.onnx")
    others = [
        ml.CustomFeatureExtractor(folder / "tiny.onnx", **NORMALISED, crop=False),
        ml.CustomFeatureExtractor(folder / "tiny.onnx", "map", **NORMALISED),
        ml.CustomFeatureExtractor(folder / "tiny.onnx"),
        ml.CustomFeatureExtractor(folder / "two.onnx", "features", **NORMALISED),
    ]
    assert len({each.identity for each in (spec, *others)}) == 5


def big_map() -> onnx.ModelProto:
    return tiny_onnx(shape=("batch", 3, 260, 260), outputs=("map",))


def two_inputs() -> onnx.ModelProto:
    model = tiny_onnx()
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    return model


def no_numbers() -> onnx.ModelProto:
    """The highest value is not finite: the logarithm of 0."""
    model = tiny_onnx()
    model.graph.node.append(helper.make_node("Log", ["features"], ["log"]))
    return model


def of_sequences() -> onnx.ModelProto:
    model = tiny_onnx(outputs=())
    model.graph.node.append(helper.make_node("SequenceConstruct", ["features"], ["all"]))
    model.graph.output.append(helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None))
    return model


def outside_the_folder() -> onnx.ModelProto:
    model = tiny_onnx()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return model


def unknown_operator() -> onnx.ModelProto:
    model = tiny_onnx()
    model.graph.node[0].op_type = "Convolve"
    return model


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, Any], str]] = {
    "two outputs": (
        lambda: tiny_onnx(outputs=("features", "map")),
        {},
        r"2 tensor outputs; without a name there must be exactly one: name one of 'features', 'map' or a value inside",
    ),
    "no such output": (tiny_onnx, {"output_name": "feature"}, "no output of this name; did you mean 'features'"),
    "no tensor": (of_sequences, {}, r"no tensor output \(only 'all'\); .* name a value inside, such as"),
    "a sequence": (of_sequences, {"output_name": "all"}, "gives no tensor there"),
    "a large map": (big_map, {}, r"gives \[32, 31, 31\] there, 30,752 numbers for a picture; from 1 to 16,384 can"),
    "not finite": (no_numbers, {"output_name": "log", **NORMALISED}, "not finite; check mean, std and scale"),
    "two inputs": (two_inputs, {}, "must have one input, a picture; it has image, second"),
    "one channel": (lambda: tiny_onnx(shape=("n", 1, 28, 28)), {}, r"\[any, 1, 28, 28\]: no axis of 3 channels"),
    "no square": (lambda: tiny_onnx(shape=("n", 3, 28, 30)), {}, "30 x 28 pixels, not a square"),
    "three axes": (lambda: tiny_onnx(shape=(3, 28, 28)), {}, r"has the shape \[3, 28, 28\], not that of pictures"),
    "other numbers": (
        lambda: tiny_onnx(kind=TensorProto.INT32),
        {},
        "is int32, none of float32, float16, uint8; convert",
    ),
    "another side": (tiny_onnx, {"input_side": 30}, "takes 28 x 28 pixels; leave it out"),
    "another layout": (tiny_onnx, {"layout": "NHWC"}, r"takes pictures of the shape \[any, 3, 28, 28\]; leave it out"),
    "no layout": (tiny_onnx, {"layout": "CHW"}, "must be one of NCHW, NHWC"),
    "whole numbers scaled": (
        lambda: tiny_onnx(shape=("n", 28, 28, 3), kind=TensorProto.UINT8),
        {"mean": HALVES},
        r"takes whole numbers from 0 to 255 \(uint8\) as they are; leave it out",
    ),
    "a std of 0": (tiny_onnx, {"std": (1, 0, 1)}, "three finite numbers, those of std above 0"),
    "a mean of two": (tiny_onnx, {"mean": (1, 0)}, "three finite numbers"),
    "a scale of 0": (tiny_onnx, {"scale": 0}, "a finite number other than 0"),
    "a giant side": (lambda: tiny_onnx(shape=("n", 3, "h", "w")), {"input_side": 9999}, "from 1 to 2048"),
    "a tiny side": (lambda: tiny_onnx(shape=("n", 3, "h", "w")), {"input_side": 3}, "ONNX Runtime: .*"),
    "weights outside": (outside_the_folder, {}, r"keeps its weights in '../secret', outside of its own folder"),
    "an operator of nobody": (unknown_operator, {}, "ONNX Runtime cannot load it: .*Convolve"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_the_cure(case: str, tmp_path: Path) -> None:
    make, options, words = REFUSED[case]
    path = write_onnx(tmp_path / "it.onnx", make())
    with pytest.raises(InvalidParameter, match=words) as refused:
        ml.CustomFeatureExtractor(path, **options)
    assert "\n" not in str(refused.value)


PLACES: dict[str, tuple[str, type[Exception], str]] = {
    "a network of timm": ("timm:resnet18", InvalidParameter, r"take ml.timm_extractor\(NAME, weights=FILE\)"),
    "weights alone": ("weights.safetensors", InvalidParameter, "holds weights, and no network"),
    "compiled": ("it.mlmodelc", InvalidParameter, r"give the .mlmodel or .mlpackage"),
    "another file": ("it.tflite", InvalidParameter, r"must end in .onnx, .pt2, .mlmodel, .mlpackage, or be a module"),
    "no file": (
        "no.onnx",
        ModelNotFound,
        r"no such model; correct the path; .*extractor_weights=FILE",
    ),
    "no folder": ("no.mlpackage", ModelNotFound, "there is no such model"),
    "no model": ("bad.onnx", InvalidParameter, "is no ONNX model"),
    "an empty model": ("empty.onnx", InvalidParameter, "it computes nothing"),
    "no program": ("bad.pt2", InvalidParameter, r"cannot be loaded by torch .*; export it again"),
    "no module": ("no_such_module:it", ModelNotFound, "no module 'no_such_module' here; .*PYTHONPATH"),
    "no member": (f"{HERE}:nothing", ModelNotFound, "there is no 'nothing' in"),
    "a number": (f"{HERE}:SIDE", InvalidParameter, "is a int, not a module of torch"),
    "a function of a number": (f"{HERE}:hidden", InvalidParameter, "gives a int, not a module of torch"),
    "a function with arguments": (f"{HERE}:write_onnx", InvalidParameter, "without arguments: .*missing"),
    "a module of 224": (f"{HERE}:Twofold", InvalidParameter, "3 outputs|2 tensor outputs"),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_model_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "bad.pt2").write_bytes(b"no program")
    place, kind, words = PLACES[case]
    with pytest.raises(kind, match=words):
        ml.CustomFeatureExtractor(place if ":" in place else tmp_path / place)


def test_what_is_no_text_is_refused_by_its_name(folder: Path) -> None:
    for place, output, words in (
        (None, None, "model_path=None: must"),
        (folder / "two.onnx", 0, "output_name=0: must"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            ml.CustomFeatureExtractor(place, output)  # type: ignore[arg-type]


def test_weights_beside_must_be_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "it.onnx").write_bytes((folder / "outside.onnx").read_bytes())
    (tmp_path / "w.bin").write_bytes((folder / "w.bin").read_bytes()[:100])
    with pytest.raises(InvalidParameter, match=r"it\.onnx': ONNX Runtime cannot load it"):
        ml.CustomFeatureExtractor(tmp_path / "it.onnx")


def test_weights_beside_must_be_there(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((folder / "outside.onnx").read_bytes())
    with pytest.raises(ModelNotFound, match=r"w.bin: it holds weights of alone.onnx; put it beside that"):
        ml.CustomFeatureExtractor(alone)


def test_it_is_run_on_the_cpu_in_float32(folder: Path) -> None:
    spec = ml.CustomFeatureExtractor(folder / "tiny.onnx", **NORMALISED)
    runtime = runtime_for(spec)
    assert str(runtime.numerics()["backend"]).startswith("onnxruntime ")
    assert load_extractor(spec).numerics()["precision"] == "float32"
    assert runtime_for(ml.CustomFeatureExtractor(folder / "tiny.pt2"), "torch").backend == "torch"
    for choice in ({"backend": "torch"}, {"backend": "openvino"}, {"precision": "bfloat16"}, {"accelerator": "cuda"}):
        with pytest.raises(InvalidParameter, match=f"{next(iter(choice))}=.*custom:tiny.onnx is run .*leave this out"):
            runtime_for(spec, **choice)  # type: ignore[arg-type]


def test_it_is_not_fine_tuned(folder: Path) -> None:
    with pytest.raises(InvalidParameter, match="brings its own network along, which cannot be tuned"):
        ml.FineTune(feature_extractor=ml.CustomFeatureExtractor(folder / "tiny.onnx"))


def branched() -> onnx.ModelProto:
    """Features out of a branch that holds a weight outside of the file."""
    model = tiny_onnx()
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], np.ones(1, np.float32).tobytes(), raw=True)
    onnx.external_data_helper.set_external_data(weight, "w.bin")
    weight.ClearField("raw_data")
    then = helper.make_graph(
        [helper.make_node("Mul", ["features", "w"], ["out_then"])],
        "then",
        [],
        [helper.make_tensor_value_info("out_then", TensorProto.FLOAT, None)],
        [weight],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["out_other"])],
        "other",
        [],
        [helper.make_tensor_value_info("out_other", TensorProto.FLOAT, None)],
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(yes)
    model.graph.node.append(helper.make_node("If", ["yes"], ["out"], then_branch=then, else_branch=other))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 32]))
    return model


def test_weights_of_a_branch_are_read_from_beside_the_file_and_count(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(branched().SerializeToString())
    identities = set()
    for value in (1.0, 2.0):
        (tmp_path / "w.bin").write_bytes(np.full(1, value, np.float32).tobytes())
        identities.add(ml.CustomFeatureExtractor(path, **NORMALISED).identity)
    assert len(identities) == 2
    assert all("files-sha256:" in each for each in identities)


def test_features_that_depend_on_neighbours_are_refused(tmp_path: Path) -> None:
    network = nn.Sequential(tiny(), nn.BatchNorm1d(32)).train()
    path = write_program(tmp_path / "training.pt2", network)
    with pytest.raises(InvalidParameter, match="or by its neighbours; export it in evaluation mode"):
        ml.CustomFeatureExtractor(path, **NORMALISED)


def test_what_a_module_computes_with_is_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for value in (1.0, 2.0):
        monkeypatch.setattr(own_networks, "FACTOR", value)
        found.add(ml.CustomFeatureExtractor(f"{HERE}:Scaled", **NORMALISED, input_side=SIDE).identity)
    assert len(found) == 2


def test_equal_options_have_one_identity(folder: Path) -> None:
    whole, real = (ml.CustomFeatureExtractor(folder / "tiny.onnx", scale=scale) for scale in (1, 1.0))
    assert whole == real
    assert whole.identity == real.identity
    with pytest.raises(InvalidParameter, match="input_side=0"):
        ml.CustomFeatureExtractor(folder / "free.onnx", input_side=0)
