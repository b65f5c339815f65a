"""Weights in fewer bits, as programs and layers hold them: read as Apple's own library makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mlsession.coreml.constants import Constants
from mlsession.coreml.expansion import EXPANSIONS, affine, blockwise, look_up
from mlsession.coreml.program import run_operations
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.coreml.stored_weights import stored_weights
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.compression import METHODS, Compression
from mlsession.export.fewer_bits import compress_layers
from tests.coreml.functions import seeded

pytestmark = pytest.mark.sampled(0.5)

FOLDER = "Data/com.apple.CoreML"
CHANNELS, SIDE = 16, 5


def example() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Layers(nn.Module):
    """Weights of the kinds that our extractors have: 16 channels, so that every block size divides them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(CHANNELS, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32), nn.Flatten(), nn.Linear(288, 12)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program's operations, and what it reads its constants from."""

    operations: Any
    constants: Constants

    @classmethod
    def of(cls, model: Any, folder: Path) -> Program:
        """Of coremltools' `MLModel`."""
        model.save(str(folder / "m.mlpackage"))
        spec = model.get_spec()
        block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
        weights = next((folder / "m.mlpackage").rglob("weight.bin")).read_bytes()
        return cls(operations=block.operations, constants=Constants({f"{FOLDER}/weights/weight.bin": weights}, FOLDER))

    def run(self, x: Tensor) -> Tensor:
        return run_operations(self.operations, "x", "y", x, self.constants)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """`Layers` as coremltools' `MLModel`, by the system that it is for."""
    program = torch.export.export(seeded(Layers), (torch.zeros(1, CHANNELS, SIDE, SIDE),), strict=False)
    program = program.run_decompositions({})
    with silenced_coremltools() as coremltools:
        return {
            target: coremltools.convert(
                program,
                convert_to="mlprogram",
                inputs=[coremltools.TensorType(name="x", shape=(1, CHANNELS, SIDE, SIDE))],
                outputs=[coremltools.TensorType(name="y")],
                minimum_deployment_target=getattr(coremltools.target, target),
                compute_precision=getattr(coremltools.precision, precision),
                skip_model_load=True,
            )
            for target, precision in (("iOS16", "FLOAT32"), ("iOS18", "FLOAT32"), ("iOS15", "FLOAT16"))
        }


def quantized(optimize: Any, model: Any, **options: Any) -> Any:
    config = optimize.OpLinearQuantizerConfig(weight_threshold=200, **options)
    return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(global_config=config))


def palettized(optimize: Any, model: Any, nbits: int, **options: Any) -> Any:
    config = optimize.OpPalettizerConfig(mode="uniform", nbits=nbits, weight_threshold=200, **options)
    return optimize.palettize_weights(model, optimize.OptimizationConfig(global_config=config))


FORMS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "int8, iOS 16": ("iOS16", lambda o, m: quantized(o, m, mode="linear_symmetric")),
    "uint8 with zero points, iOS 16": ("iOS16", lambda o, m: quantized(o, m, mode="linear", dtype="uint8")),
    "one scale for all": ("iOS16", lambda o, m: quantized(o, m, mode="linear", granularity="per_tensor")),
    "int8, iOS 18": ("iOS18", lambda o, m: quantized(o, m, mode="linear_symmetric")),
    "int4 in blocks": (
        "iOS18",
        lambda o, m: quantized(o, m, mode="linear", dtype="int4", granularity="per_block", block_size=4),
    ),
    "uint4": ("iOS18", lambda o, m: quantized(o, m, mode="linear", dtype="uint4")),
    "palette of 8 bits": ("iOS16", lambda o, m: palettized(o, m, 8)),
    "palette of 6 bits": ("iOS16", lambda o, m: palettized(o, m, 6)),
    "palette of 1 bit": ("iOS16", lambda o, m: palettized(o, m, 1)),
    "palette of 3 bits, iOS 18": ("iOS18", lambda o, m: palettized(o, m, 3)),
    "palettes for groups of channels": (
        "iOS18",
        lambda o, m: palettized(o, m, 4, granularity="per_grouped_channel", group_size=4),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_program_runs_with_the_weights_that_coremltools_makes_of_it(
    models: dict[str, Any], form: str, tmp_path: Path
) -> None:
    target, change = FORMS[form]
    with silenced_coremltools() as coremltools:
        smaller = change(coremltools.optimize.coreml, models[target])
        dense = coremltools.optimize.coreml.decompress_weights(smaller)
    program, expected = Program.of(smaller, tmp_path), Program.of(dense, tmp_path / "dense").run(example())
    assert {each.type for each in program.operations} & EXPANSIONS.keys()
    assert not {each.type for each in Program.of(dense, tmp_path / "dense").operations} & EXPANSIONS.keys()
    torch.testing.assert_close(program.run(example()), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    with torch.no_grad():
        assert not torch.allclose(expected, seeded(Layers)(example()), rtol=1e-5)


def test_half_precision_is_rounded_after_each_operation(models: dict[str, Any], tmp_path: Path) -> None:
    found, x = Program.of(models["iOS15"], tmp_path).run(example()), example().half().float()
    with torch.no_grad():
        for each in seeded(Layers).layers:  # type: ignore[union-attr]
            x = each.half().float()(x).half().float()
        exact = seeded(Layers)(example())
    assert torch.equal(found, x)
    assert not torch.equal(found, exact)


def test_what_half_precision_cannot_hold_is_seen(models: dict[str, Any], tmp_path: Path) -> None:
    assert not torch.isfinite(Program.of(models["iOS15"], tmp_path).run(1e4 * example())).all()


def test_numbers_that_do_not_fit_together_are_damage() -> None:
    indices, table = torch.zeros(2, 4), torch.zeros(1, 1, 4, 1)
    assert look_up(indices, table).shape == (2, 4)
    for wrong, given in ((indices, table[0]), (indices + 4, table), (indices - 1, table)):
        with pytest.raises(DamagedData):
            look_up(wrong, given)
    with pytest.raises(DamagedData):
        look_up(indices, table.expand(3, 1, 4, 1))
    with pytest.raises(DamagedData):
        look_up(torch.zeros(3), torch.zeros(4), (5, 3))
    with pytest.raises(DamagedData):
        look_up(torch.zeros(1), torch.zeros(3), (4,))
    with pytest.raises(DamagedData):
        blockwise(indices, torch.zeros(2, 3))
    with pytest.raises(InvalidParameter, match="tables of several numbers"):
        look_up(indices, torch.zeros(1, 1, 4, 2))
    with pytest.raises(InvalidParameter, match="fp16"):
        EXPANSIONS["constexpr_cast"](indices, "fp16")


def test_one_zero_point_and_one_scale_are_for_all() -> None:
    data = torch.arange(6.0).reshape(2, 3)
    torch.testing.assert_close(affine(data, 1, 0.5, 0), 0.5 * (data - 1))
    by_column = affine(data, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0, 100.0]), 1)
    torch.testing.assert_close(by_column, torch.tensor([[-1.0, -10.0, -100.0], [2.0, 20.0, 200.0]]))


def neural_network() -> Any:
    """A layer of each kind that holds weights, in a protobuf: those of `seeded(Layers)`, and a product."""
    network = coremltools_module().proto.NeuralNetwork_pb2.NeuralNetworkClassifier()
    first, depthwise, last = (each for each in seeded(Layers).layers if hasattr(each, "weight"))  # type: ignore[union-attr]
    for layer in (first, depthwise):
        params = network.layers.add().convolution
        params.outputChannels, params.kernelChannels = layer.weight.shape[:2]
        params.kernelSize.extend(layer.weight.shape[2:])
        params.nGroups = layer.groups
        params.hasBias = True
        params.weights.floatValue.extend(layer.weight.detach().flatten().tolist())
        params.bias.floatValue.extend(layer.bias.detach().tolist())
    params = network.layers.add().innerProduct
    params.outputChannels, params.inputChannels = last.weight.shape
    params.weights.floatValue.extend(last.weight.detach().flatten().tolist())
    network.layers.add().softmax.SetInParent()
    return network


def held(network: Any) -> list[Any]:
    return [getattr(layer, layer.WhichOneof("layer")) for layer in list(network.layers)[:3]]


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_has_the_weights_that_coremltools_reads_out_of_it(method: str) -> None:
    from coremltools.models.neural_network.quantization_utils import _dequantize_nn_spec

    whole, network = neural_network(), neural_network()
    compress_layers(network, Compression(method=method))  # type: ignore[arg-type]
    again = type(network).FromString(network.SerializeToString())
    if method != "float16":  # which that library does not read
        _dequantize_nn_spec(again)
    for before, params, expected in zip(held(whole), held(network), held(again), strict=True):
        count, channels = len(before.weights.floatValue), int(params.outputChannels)
        found = stored_weights(params.weights, channels, count)
        small = count < 2048 and method != "float16"
        assert small == bool(params.weights.floatValue)
        given = np.array(before.weights.floatValue, np.float32)
        if method == "float16":
            assert np.array_equal(found, given.astype(np.float16).astype(np.float32))
        else:
            np.testing.assert_allclose(found, np.array(expected.weights.floatValue, np.float32), rtol=1e-6, atol=1e-7)
        assert np.array_equal(found, given) == small
        step = {"float16": 0.001, "int8": 0.01, "palettize8": 0.02, "palettize6": 0.08, "palettize4": 0.3}[method]
        assert np.abs(found - given).max() <= step


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: setattr(weights, "rawValue", weights.rawValue[:-1]),
        lambda weights: setattr(weights.quantization, "numberOfBits", 4),
        lambda weights: weights.quantization.linearQuantization.scale.append(1.0),
        lambda weights: weights.quantization.linearQuantization.bias.append(1.0),
        lambda weights: weights.quantization.lookupTableQuantization.floatValue.extend([0.0] * 255),
    ],
)
def test_weights_that_are_not_whole_are_damage(change: Any) -> None:
    network = neural_network()
    compress_layers(network, Compression(method="int8"))
    weights = held(network)[2].weights
    assert len(stored_weights(weights, 12, 3456)) == 3456
    change(weights)
    with pytest.raises(DamagedData):
        stored_weights(weights, 12, 3456)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most numbers of one tensor that torch made meanwhile."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, Tensor):
                # What is only looked at from another side, or repeated by a stride of 0, takes no memory.
                self.numbers = max(self.numbers, each.untyped_storage().nbytes() // each.element_size())
        return made


def test_a_palette_takes_no_more_memory_than_its_weights() -> None:
    indices = torch.arange(64 * 300).reshape(64, 300) % 256
    table = torch.arange(4 * 256.0).reshape(4, 1, 256, 1)  # For each 16 rows one.
    largest: Any = Largest()  # type: ignore[no-untyped-call]
    with largest:
        found = look_up(indices.float(), table)
    assert largest.numbers <= indices.numel()
    torch.testing.assert_close(found, indices + 256.0 * (torch.arange(64) // 16)[:, None])
