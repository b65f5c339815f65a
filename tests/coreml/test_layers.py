"""Each layer, against torch: what coremltools writes for a torch function must compute that function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mlsession.coreml.evaluate import run_layers
from mlsession.coreml.layers import LAYERS
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.coreml.stored_weights import weights
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.normalisation import without_mvn
from tests.coreml.functions import CHANNELS, FUNCTIONS, SIDE, AllFunctions, example


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    layers: Any
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def converted() -> Converted:
    with torch.no_grad():
        program = torch.export.export(
            AllFunctions(FUNCTIONS.values()).eval(), (example(),), strict=False
        ).run_decompositions({})
    names = {name: f"out_{number}" for number, name in enumerate(FUNCTIONS)}
    with silenced_coremltools() as coremltools:
        model = coremltools.convert(
            program,
            convert_to="neuralnetwork",
            inputs=[coremltools.TensorType(name="x", shape=(1, CHANNELS, SIDE, SIDE))],
            outputs=[coremltools.TensorType(name=name) for name in names.values()],
            skip_model_load=True,
        )
        spec = coremltools.proto.Model_pb2.Model.FromString(model.get_spec().SerializeToString())
    without_mvn(spec.neuralNetwork)  # As exports do.
    return Converted(layers=spec.neuralNetwork.layers, outputs=names)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_layer_computes_what_torch_computes(converted: Converted, name: str) -> None:
    with torch.no_grad():
        expected = FUNCTIONS[name](example())
    found = run_layers(converted.layers, "x", converted.outputs[name], example())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_every_known_layer_was_run(converted: Converted) -> None:
    assert {layer.WhichOneof("layer") for layer in converted.layers} == set(LAYERS)


def layer(kind: str, inputs: tuple[str, ...] = ("x",), **fields: Any) -> Any:
    """A layer message written by hand, for what the converter does not write."""
    message = coremltools_module().proto.NeuralNetwork_pb2.NeuralNetworkLayer(
        name=f"a {kind}", input=inputs, output=["y"]
    )
    params = getattr(message, kind)
    params.SetInParent()
    for path, value in fields.items():
        *parents, name = path.split("__")
        target = params
        for parent in parents:
            target = getattr(target, parent)
        target.SetInParent()
        if isinstance(value, list):
            getattr(target, name).extend(value)
        elif value is None:
            getattr(target, name).SetInParent()
        else:
            setattr(target, name, value)
    return message


def run(message: Any, x: Tensor) -> Tensor:
    return run_layers([message], "x", "y", x)


@pytest.mark.parametrize(("heavy", "expected"), [(0, [[5.0, 7.0]]), (1, [[1.0, 9.0]])])
def test_uneven_same_padding_goes_where_the_mode_says(heavy: int, expected: list[list[float]]) -> None:
    # Width 4, kernel 3, stride 2: two windows and one column of zeros, after (0) or before (1).
    message = layer(
        "convolution",
        outputChannels=1,
        kernelChannels=1,
        kernelSize=[1, 3],
        stride=[1, 2],
        same__asymmetryMode=heavy,
        weights__floatValue=[1.0, 1.0, 1.0],
    )
    x = torch.tensor([[[[0.0, 1.0, 4.0, 3.0]]]]) if heavy == 0 else torch.tensor([[[[0.0, 1.0, 4.0, 4.0]]]])
    torch.testing.assert_close(run(message, x)[0, 0], torch.tensor(expected))


def test_what_a_convolution_leaves_out_has_the_default_of_the_specification() -> None:
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    message = layer(
        "convolution", outputChannels=1, kernelChannels=1, valid=None, weights__floatValue=weight.flatten().tolist()
    )
    x = example()[:, :1]
    torch.testing.assert_close(run(message, x), F.conv2d(x, weight))


def test_unary_defaults_and_shift() -> None:
    x = torch.tensor([1.0, 3.0])
    torch.testing.assert_close(run(layer("unary", type=2), x), 1 / (x + 1e-6))
    torch.testing.assert_close(run(layer("unary", type=4, scale=2.0, shift=0.5), x), torch.exp(2 * x + 0.5))


def test_batch_normalisation_has_the_epsilon_of_the_specification() -> None:
    numbers = {"gamma": 2.0, "beta": 0.5, "mean": 1.0, "variance": 1e-4}
    fields: dict[str, Any] = {f"{name}__floatValue": [value] for name, value in numbers.items()}
    x = torch.full((1, 1, 1, 1), 1.3)
    expected = 2 * (x - 1) / (1e-4 + 1e-5) ** 0.5 + 0.5
    torch.testing.assert_close(run(layer("batchnorm", channels=1, **fields), x), expected)
    explicit = 2 * (x - 1) / (1e-4 + 1e-3) ** 0.5 + 0.5
    torch.testing.assert_close(run(layer("batchnorm", channels=1, epsilon=1e-3, **fields), x), explicit)


@pytest.mark.parametrize(("mode", "approximate"), [(0, "none"), (1, "tanh")])
def test_gelu_is_exact_or_by_tanh(mode: int, approximate: str) -> None:
    # The converter writes every one as exact, whatever the network has.
    torch.testing.assert_close(run(layer("gelu", mode=mode), example()), F.gelu(example(), approximate=approximate))


def test_gelu_by_a_sigmoid() -> None:
    expected = example() * torch.sigmoid(1.702 * example())
    torch.testing.assert_close(run(layer("gelu", mode=2), example()), expected)


def test_three_summands_and_factors() -> None:
    x = torch.tensor([2.0, 3.0])
    assert run(layer("add", ("x", "x", "x")), x).tolist() == [6.0, 9.0]
    assert run(layer("multiply", ("x", "x", "x")), x).tolist() == [8.0, 27.0]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("gru", {}),
        ("custom", {"className": "Mine"}),
        ("convolution", {"isDeconvolution": True}),
        ("convolution", {}),
        ("pooling", {"type": 2}),
        ("pooling", {"type": 1, "kernelSize": [2, 2], "stride": [2, 2], "includeLastPixel__paddingAmounts": [0, 0]}),
        ("activation", {"softsign": None}),
        ("activation", {}),
        ("padding", {}),
        ("concat", {"sequenceConcat": True}),
        ("sliceStatic", {"beginIds": [0], "endIds": [1], "beginMasks": [False], "endMasks": [False], "strides": [-1]}),
        ("mvn", {"normalizeVariance": True, "epsilon": 0.5}),
        ("batchnorm", {"computeMeanVar": True}),
        ("innerProduct", {"inputChannels": 1, "outputChannels": 1, "weights__rawValue": b"\0\0"}),
        ("innerProduct", {"inputChannels": 1, "outputChannels": 1, "weights__quantization__numberOfBits": 16}),
    ],
)
def test_what_cannot_be_run_exactly_is_refused_by_name(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=r"Core ML layer=.*mlsession cannot run"):
        run(layer(kind, **fields), example())


def test_a_form_that_shows_only_when_it_runs_is_refused_too() -> None:
    fields: dict[str, Any] = {"inputChannels": SIDE, "outputChannels": 1, "weights__floatValue": [1.0] * SIDE}
    with pytest.raises(InvalidParameter, match="an inner product of 4 axes"):
        run(layer("innerProduct", **fields), example())


def test_a_wrong_number_of_weights_is_damage() -> None:
    params = layer("innerProduct", weights__floatValue=[1.0, 2.0]).innerProduct.weights
    assert weights(params, 1, 2).tolist() == [[1.0, 2.0]]
    with pytest.raises(DamagedData, match="2 numbers"):
        weights(params, 3)


def normalised(x: Tensor, **fields: Any) -> Tensor:
    """What the layers compute that stand in the place of an `mvn`."""
    network = coremltools_module().proto.NeuralNetwork_pb2.NeuralNetwork()
    network.layers.extend([layer("mvn", **fields), layer("activation", ("y",), ReLU=None)])
    network.layers[1].output[0] = "z"
    without_mvn(network)
    names = [each.name for each in network.layers]
    assert len(set(names)) == len(names)
    assert network.layers[-1].name == "a activation"
    return run_layers(network.layers, "x", "z", x)


@pytest.mark.parametrize(("across", "axes"), [(False, 2), (True, 3)])
def test_normalisation_adds_its_epsilon_to_the_variance(across: bool, axes: int) -> None:
    x = example()
    # So large that it shows where it is added.
    expected = F.layer_norm(x, x.shape[-axes:], eps=0.5).relu()
    found = normalised(x, acrossChannels=across, normalizeVariance=True, epsilon=0.5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found - F.relu((x - x.mean()) / (x.std() + 0.5))).abs().max() > 0.01
    centred = x - x.mean(tuple(range(-axes, 0)), keepdim=True)
    torch.testing.assert_close(normalised(x, acrossChannels=across), centred.relu())


@pytest.mark.parametrize("shape", [[1], [CHANNELS], [1, SIDE, SIDE], [CHANNELS, SIDE, SIDE]])
def test_a_scale_is_of_all_or_of_channels_or_of_places(shape: list[int]) -> None:
    factor = torch.arange(float(torch.Size(shape).numel())).reshape(shape) + 0.5
    over = factor if len(shape) == 3 else factor.view(-1, 1, 1)
    numbers = factor.flatten().tolist()
    message = layer("scale", shapeScale=shape, scale__floatValue=numbers)
    torch.testing.assert_close(run(message, example()), example() * over)
    message = layer(
        "scale",
        shapeScale=shape,
        scale__floatValue=numbers,
        hasBias=True,
        shapeBias=shape,
        bias__floatValue=numbers,
    )
    torch.testing.assert_close(run(message, example()), example() * over + over)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("scale", {"shapeScale": [1, 1], "scale__floatValue": [1.0]}),
        ("splitND", {"axis": 1, "splitSizes": [1, 1]}),
        ("splitND", {"axis": 1, "numSplits": 2}),  # Gives two where one is named.
    ],
)
def test_parts_that_do_not_fit_are_damage(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(DamagedData):
        run(layer(kind, **fields), example())


@pytest.mark.parametrize(("kind", "inputs"), [("add", ("x", "z")), ("innerProduct", ()), ("softmaxND", ("x", "x"))])
def test_a_graph_that_does_not_hold_together_is_damage(kind: str, inputs: tuple[str, ...]) -> None:
    fields = {"inputChannels": 1, "outputChannels": 1, "weights__floatValue": [1.0]} if kind == "innerProduct" else {}
    with pytest.raises(DamagedData, match=f"'a {kind}'"):
        run(layer(kind, inputs, **fields), example())


def test_a_missing_result_is_damage() -> None:
    with pytest.raises(DamagedData, match="'z'"):
        run_layers([layer("add")], "x", "z", example())
