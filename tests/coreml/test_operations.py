"""Each operation, against torch: what coremltools writes for a torch function must compute that function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mlsession.coreml.constants import Constants
from mlsession.coreml.operations import OPERATIONS, avg_pool, max_pool, pad, slice_by_index
from mlsession.coreml.program import run_operations
from mlsession.coreml.silence import coremltools_module, silenced_coremltools
from mlsession.errors import DamagedData, InvalidParameter
from tests.coreml.functions import CHANNELS, FUNCTIONS, SIDE, AllFunctions, example

FOLDER = "Data/com.apple.CoreML"

PROGRAM_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **FUNCTIONS,
    "max pooling, rounded up, uneven": nn.MaxPool2d(2, 2, ceil_mode=True),
    "an axis more": lambda x: x.mean(1).unsqueeze(1),
}
"""What only ML programs are run with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    operations: Any
    outputs: dict[str, str]
    constants: Constants

    def run(self, name: str, x: Tensor) -> Tensor:
        return run_operations(self.operations, "x", self.outputs[name], x, self.constants)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    functions = AllFunctions(PROGRAM_FUNCTIONS.values()).eval()
    with torch.no_grad():
        program = torch.export.export(functions, (example(),), strict=False).run_decompositions({})
    names = {name: f"out_{number}" for number, name in enumerate(PROGRAM_FUNCTIONS)}
    folder = tmp_path_factory.mktemp("program") / "model.mlpackage"
    with silenced_coremltools() as coremltools:
        coremltools.convert(
            program,
            convert_to="mlprogram",
            inputs=[coremltools.TensorType(name="x", shape=(1, CHANNELS, SIDE, SIDE))],
            outputs=[coremltools.TensorType(name=name) for name in names.values()],
            minimum_deployment_target=coremltools.target.iOS15,
            compute_precision=coremltools.precision.FLOAT32,
            package_dir=str(folder),
            skip_model_load=True,
        )
        spec = coremltools.proto.Model_pb2.Model.FromString((folder / FOLDER / "model.mlmodel").read_bytes())
    block = spec.mlProgram.functions["main"].block_specializations["CoreML5"]
    weights = f"{FOLDER}/weights/weight.bin"
    constants = Constants({weights: (folder / Path(weights)).read_bytes()}, FOLDER)
    return Converted(operations=block.operations, outputs=names, constants=constants)


@pytest.mark.parametrize("name", PROGRAM_FUNCTIONS)
def test_an_operation_computes_what_torch_computes(converted: Converted, name: str) -> None:
    with torch.no_grad():
        expected = PROGRAM_FUNCTIONS[name](example())
    torch.testing.assert_close(converted.run(name, example()), expected, rtol=1e-5, atol=1e-5)


def test_every_known_operation_was_run(converted: Converted) -> None:
    # A program of float32 casts nothing; tests of weights in fewer bits run that one.
    assert {operation.type for operation in converted.operations} == {*OPERATIONS, "const"} - {"cast"}


def operation(kind: str, **constants: Any) -> Any:
    """An operation message of input "x" and output "y", written by hand, with numbers and texts in place."""
    pb = coremltools_module().proto.MIL_pb2
    message = pb.Operation(type=kind)
    message.inputs["x"].arguments.add().name = "x"
    for name, given in constants.items():
        value = message.inputs[name].arguments.add().value
        items = given if isinstance(given, tuple) else (given,)
        field = {bool: "bools", int: "ints", float: "floats", str: "strings"}[type(items[0])]
        getattr(value.immediateValue.tensor, field).values.extend(items)
        if isinstance(given, tuple):
            value.type.tensorType.dimensions.add().constant.size = len(given)
    message.outputs.add().name = "y"
    return message


def run(kind: str, x: Tensor, **constants: Any) -> Tensor:
    return run_operations([operation(kind, **constants)], "x", "y", x, Constants({}, FOLDER))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("EXACT", F.gelu(example())),
        ("TANH_APPROXIMATION", F.gelu(example(), approximate="tanh")),
        ("SIGMOID_APPROXIMATION", example() * torch.sigmoid(1.702 * example())),
    ],
)
def test_every_mode_of_gelu(mode: str, expected: Tensor) -> None:
    # The converter writes every one as exact, whatever the network has.
    torch.testing.assert_close(run("gelu", example(), mode=mode), expected)


def test_what_is_left_out_has_the_default_of_the_description() -> None:
    x = example()
    torch.testing.assert_close(run("softmax", x), torch.softmax(x, -1))
    torch.testing.assert_close(run("leaky_relu", x), F.leaky_relu(x, 0.01))
    torch.testing.assert_close(run("sigmoid_hard", x), (0.2 * x + 0.5).clamp(0, 1))
    torch.testing.assert_close(run("thresholded_relu", x), torch.where(x >= 1, x, 0))
    torch.testing.assert_close(run("max_pool", x, kernel_sizes=(3, 3), pad_type="valid"), F.max_pool2d(x, 3, 1))
    torch.testing.assert_close(run("reduce_max", x), x.max())
    torch.testing.assert_close(run("squeeze", x[:, :1, :1]), x[0, 0, 0])
    torch.testing.assert_close(run("layer_norm", x), F.layer_norm(x, tuple(x.shape)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_same_padding_is_run_where_its_descriptions_agree(pad_type: str) -> None:
    x = example()
    torch.testing.assert_close(max_pool(x, (3, 3), pad_type), F.max_pool2d(x, 3, 1, 1))
    for kernel, strides in (((2, 2), (1, 1)), ((3, 3), (2, 2))):
        with pytest.raises(InvalidParameter, match="its padding"):
            max_pool(x, kernel, pad_type, strides)


def test_uneven_padding_of_a_pooling() -> None:
    x = example()
    expected = F.max_pool2d(F.pad(x, (0, 1, 2, 0), value=-torch.inf), 3, 2)
    torch.testing.assert_close(max_pool(x, (3, 3), "custom", (2, 2), (2, 0, 0, 1)), expected)
    with pytest.raises(InvalidParameter, match="rounding up"):
        max_pool(x, (3, 3), "custom", (2, 2), (1, 0, 0, 1), ceil_mode=True)


def test_a_mean_that_reaches_over_the_edge_is_refused_and_others_are_not() -> None:
    x = example()
    torch.testing.assert_close(avg_pool(x, (3, 3), "valid", (3, 3), ceil_mode=True), F.avg_pool2d(x, 3))
    with pytest.raises(InvalidParameter, match="over the edge"):
        avg_pool(x, (2, 2), "valid", (2, 2), ceil_mode=True)


def test_a_slice_may_be_bounded_or_not_on_each_axis() -> None:
    x = example()
    found = slice_by_index(x, (0, 1, 2, 3), (1, -1, 0, 9), (1, 2, 1, 3), end_mask=(False, False, True, False))
    torch.testing.assert_close(found, x[0:1, 1:-1:2, 2:, 3:9:3])
    with pytest.raises(InvalidParameter, match="backwards"):
        slice_by_index(x, (0, 0, 0, 5), (1, 4, 9, 0), (1, 1, 1, -1))


def test_padding_of_few_axes_is_of_the_last_ones() -> None:
    x = example()
    torch.testing.assert_close(pad(x, (1, 2)), F.pad(x, (1, 2)))
    with pytest.raises(InvalidParameter, match="its mode"):
        pad(x, (0, 0, 1, 1, 0, 0, 0, 0), "reflect")


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        ("gru", {}),
        ("relu", {"axis": 1}),
        ("clip", {"alpha": 0.0}),
        ("gelu", {"mode": "ROUGH"}),
        ("reshape", {"shape": (0, -1)}),
        ("pad", {"pad": (1, 1), "mode": "circular"}),
    ],
)
def test_what_cannot_be_run_exactly_is_refused_by_name(kind: str, constants: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=rf"Core ML layer=[\"']{kind}.*mlsession cannot run"):
        run(kind, example(), **constants)


def test_an_operation_that_does_not_fit_its_input_is_damage() -> None:
    with pytest.raises(DamagedData, match="'y' does not fit its input"):
        run("reshape", example(), shape=(7, 11))
    with pytest.raises(DamagedData, match="'y' does not fit its input"):
        run("softmax", example(), axis="last")
