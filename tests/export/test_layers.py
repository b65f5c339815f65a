"""Each layer, against torch: what coremltools writes for a torch function must compute that function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.evaluate import run_layers
from mlsession.export.layers import LAYERS, weights
from mlsession.export.silence import coremltools_module, silenced_coremltools

CHANNELS, SIDE = 4, 9
VECTOR = torch.arange(CHANNELS) + 0.5
PLANES = VECTOR.view(1, CHANNELS, 1, 1)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with random numbers in every parameter and buffer; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module = make().eval()
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.uniform_(0.2, 1.5).mul_(torch.where(torch.rand(value.shape) < 0.5, -1.0, 1.0))
        for name, value in module.named_buffers():
            if name.endswith("running_var"):
                value.abs_()
    return module


CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "padded": lambda: nn.Conv2d(CHANNELS, 6, 3, padding=1),
    "dilated": lambda: nn.Conv2d(CHANNELS, 6, 3, stride=2, dilation=2, bias=False),
    "oblong": lambda: nn.Conv2d(CHANNELS, 6, (1, 5), stride=(2, 1), padding=(0, 2)),
    "depthwise": lambda: nn.Conv2d(CHANNELS, 8, 3, groups=CHANNELS),
    "grouped": lambda: nn.Conv2d(CHANNELS, 6, 3, groups=2),
    "same": lambda: nn.Conv2d(CHANNELS, 6, 3, padding="same", dilation=2),
    "with batch normalisation": lambda: nn.Sequential(nn.Conv2d(CHANNELS, 6, 3), nn.BatchNorm2d(6)),
}

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{f"convolution {name}": seeded(make) for name, make in CONVOLUTIONS.items()},
    "batchnorm": nn.Sequential(nn.ReLU(), seeded(lambda: nn.BatchNorm2d(CHANNELS))),
    "max pooling": nn.MaxPool2d(3, 2, 1),
    "mean pooling": nn.AvgPool2d(3, 2, 1),
    "mean pooling without padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "global mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "global maximum": lambda x: x.amax((2, 3), keepdim=True),
    "mean over height and width": lambda x: x.mean((2, 3)),
    "mean over channels": lambda x: x.mean(1),
    "mean over channels, one left": lambda x: x.mean(1, keepdim=True),
    "mean of all": lambda x: x.mean(),
    "relu": F.relu,
    "relu6": F.relu6,
    "ReLU6": nn.ReLU6(),
    "leaky relu": lambda x: F.leaky_relu(x, 0.1),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard sigmoid": F.hardsigmoid,
    "silu": F.silu,
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "abs": torch.abs,
    "sqrt": lambda x: torch.sqrt(x * x + 1),
    "rsqrt": lambda x: torch.rsqrt(x * x + 1),
    "exp": torch.exp,
    "log": lambda x: torch.log(x * x + 1),
    "cube": lambda x: x**3,
    "sum of two": lambda x: F.relu(x) + torch.tanh(x),
    "plus a number": lambda x: x + 1.5,
    "times a number": lambda x: x * 1.5,
    "a number minus": lambda x: 2 - x,
    "divided by a number": lambda x: x / 3,
    "plus a constant": lambda x: x + PLANES,
    "minus a constant": lambda x: x - PLANES,
    "divided by a constant": lambda x: x / PLANES,
    "times a row": lambda x: x * torch.linspace(0, 1, SIDE),
    "broadcast sum": lambda x: x[:, :1] + x[:, :, :1],
    "broadcast difference": lambda x: x[:, :1] - x[:, :, :1],
    "broadcast product": lambda x: x[:, :1] * x[:, :, :1],
    "broadcast quotient": lambda x: x[:, :1] / (x[:, :, :1] ** 2 + 1),
    "scaled by its mean": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "zeros around": lambda x: F.pad(x, (0, 1, 2, 3)),
    "twos around": lambda x: F.pad(x, (0, 1, 2, 3), value=2.0),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicated": lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate"),
    "cropped": lambda x: x[:, :, 2:7, 1:8],
    "cropped from the end": lambda x: x[:, :, :-2],
    "every second row": lambda x: x[:, :, 1::2],
    "two channels": lambda x: x[:, 1:3],
    "flattened": lambda x: x.flatten(1),
    "reshaped": lambda x: x.reshape(1, 2, 2 * SIDE, SIDE),
    "squeezed": lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1),
    "linear": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), seeded(lambda: nn.Linear(CHANNELS, 5))),
    "linear without bias": nn.Sequential(nn.Flatten(), seeded(lambda: nn.Linear(CHANNELS * SIDE**2, 3, bias=False))),
    "standardised": lambda x: (x.mean((2, 3)) - VECTOR) / (VECTOR + 1),
    "softmax": lambda x: torch.softmax(4 * x.mean((2, 3)), 1),
    "softmax over width": lambda x: torch.softmax(x, -1),
}


class AllFunctions(nn.Module):
    """Every function of the same input: one conversion is much quicker than one for each."""

    def __init__(self) -> None:
        super().__init__()
        self.functions = tuple(FUNCTIONS.values())
        self.parts = nn.ModuleList(each for each in self.functions if isinstance(each, nn.Module))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in self.functions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    layers: Any
    outputs: dict[str, str]


def example() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def converted() -> Converted:
    with torch.no_grad():
        program = torch.export.export(AllFunctions().eval(), (example(),), strict=False).run_decompositions({})
    names = {name: f"out_{number}" for number, name in enumerate(FUNCTIONS)}
    with silenced_coremltools() as coremltools:
        model = coremltools.convert(
            program,
            convert_to="neuralnetwork",
            inputs=[coremltools.TensorType(name="x", shape=(1, CHANNELS, SIDE, SIDE))],
            outputs=[coremltools.TensorType(name=name) for name in names.values()],
            minimum_deployment_target=coremltools.target.iOS13,
            skip_model_load=True,
        )
        spec = coremltools.proto.Model_pb2.Model.FromString(model.get_spec().SerializeToString())
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
        ("pooling", {"includeLastPixel__paddingAmounts": [1, 1]}),
        ("activation", {"softsign": None}),
        ("activation", {}),
        ("padding", {}),
        ("batchnorm", {"computeMeanVar": True}),
        ("innerProduct", {"inputChannels": 1, "outputChannels": 1, "weights__float16Value": b"\0\0"}),
        ("innerProduct", {"inputChannels": 1, "outputChannels": 1, "weights__quantization__numberOfBits": 8}),
    ],
)
def test_what_cannot_be_run_exactly_is_refused_by_name(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=r"Core ML layer=.*mlsession cannot run"):
        run(layer(kind, **fields), example())


def test_a_wrong_number_of_weights_is_damage() -> None:
    params = layer("innerProduct", weights__floatValue=[1.0, 2.0]).innerProduct.weights
    assert weights(params, 1, 2).tolist() == [[1.0, 2.0]]
    with pytest.raises(DamagedData, match="2 numbers"):
        weights(params, 3)


@pytest.mark.parametrize(("kind", "inputs"), [("add", ("x", "z")), ("innerProduct", ()), ("softmaxND", ("x", "x"))])
def test_a_graph_that_does_not_hold_together_is_damage(kind: str, inputs: tuple[str, ...]) -> None:
    fields = {"inputChannels": 1, "outputChannels": 1, "weights__floatValue": [1.0]} if kind == "innerProduct" else {}
    with pytest.raises(DamagedData, match=f"'a {kind}'"):
        run(layer(kind, inputs, **fields), example())


def test_a_missing_result_is_damage() -> None:
    with pytest.raises(DamagedData, match="'z'"):
        run_layers([layer("add")], "x", "z", example())
