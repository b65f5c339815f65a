"""Each operator of ONNX that is converted, against ONNX Runtime; and what becomes of a graph with another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mlsession.errors import InvalidParameter
from mlsession.extractors.onnx.graph import OnnxGraph
from mlsession.extractors.onnx.operators import OPERATORS
from mlsession.randomness import keyed_generator
from tests.extractors.own_networks import one_operator

Constants = dict[str, Any]
"""Arrays and numbers of numpy, by name."""
IMAGE = (2, 4, 9, 8)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return keyed_generator(0, "onnx", str(shape)).normal(size=shape).astype(np.float32)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


PLAIN = (
    *("Abs", "Dropout", "Erf", "Exp", "Flatten", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid"),
    *("HardSwish", "Identity", "LeakyRelu", "Neg", "ReduceMean", "Relu", "Sigmoid", "Softmax", "Tanh", "Transpose"),
)
SQUARE = {"kernel_shape": [3, 3]}
CASES: list[tuple[str, Constants, dict[str, Any]]] = [
    *((name, {}, {}) for name in PLAIN),
    ("Add", {"c": floats(4, 1, 1)}, {}),
    ("Sub", {"c": np.float32(0.5)}, {}),
    ("Mul", {"c": floats(4, 1, 1)}, {}),
    ("Div", {"c": np.float32(3)}, {}),
    ("Pow", {"c": np.float32(2)}, {}),
    ("Clip", {"low": np.float32(-0.5), "high": np.float32(0.5)}, {}),
    ("Clip", {"low": np.float32(0)}, {}),
    ("Conv", {"w": floats(6, 4, 3, 3), "b": floats(6)}, {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", {"w": floats(4, 1, 3, 3)}, {"group": 4, "dilations": [2, 2], "auto_pad": "VALID"}),
    ("Conv", {"w": floats(6, 4, 3, 3)}, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Conv", {"w": floats(6, 4, 4, 4)}, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("BatchNormalization", {"s": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4))}, {"epsilon": 1e-3}),
    ("LayerNormalization", {"s": floats(8), "b": floats(8)}, {"epsilon": 1e-4}),
    ("LayerNormalization", {"s": floats(9, 8)}, {"axis": 2}),
    ("MaxPool", {}, {**SQUARE, "strides": [2, 2], "pads": [1, 1, 0, 1]}),
    ("MaxPool", {}, {**SQUARE, "strides": [2, 2], "ceil_mode": 1}),
    ("AveragePool", {}, {**SQUARE, "pads": [1, 1, 1, 1]}),
    ("AveragePool", {}, {**SQUARE, "pads": [1, 1, 1, 1], "count_include_pad": 1, "strides": [2, 2]}),
    ("MatMul", {"w": floats(8, 5)}, {}),
    ("Reshape", {"shape": whole(0, -1, 4)}, {}),
    ("Flatten", {}, {"axis": 2}),
    ("Transpose", {}, {"perm": [0, 2, 3, 1]}),
    ("Softmax", {}, {"axis": 1}),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 0, 1), "value": np.float32(2)}, {}),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 0, 1)}, {"mode": "reflect"}),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 0, 1)}, {"mode": "edge"}),
    ("Slice", {"starts": whole(1, -3), "ends": whole(9, 99), "axes": whole(2, 3), "steps": whole(2, 1)}, {}),
    ("Gather", {"indices": whole(2, 0)}, {"axis": 1}),
    ("Gather", {"indices": np.array(-1, np.int64)}, {"axis": 2}),
    ("Squeeze", {}, {}),
    ("Unsqueeze", {"axes": whole(0, 3)}, {}),
    ("Expand", {"shape": whole(2, 4, 9, 8)}, {}),
    ("Concat", {"c": floats(2, 1, 9, 8)}, {"axis": 1}),
    ("Cast", {}, {"to": TensorProto.FLOAT}),
    ("ReduceMean", {"axes": whole(2, 3)}, {"keepdims": 0}),
    ("ReduceSum", {"axes": whole(1)}, {}),
    ("ReduceSum", {}, {"noop_with_empty_axes": 1}),
    ("ReduceMax", {"axes": whole(-1)}, {}),
    ("Gelu", {}, {"approximate": "tanh"}),
]


def compared(model: Any, shape: tuple[int, ...], positive: bool = False) -> None:
    x = np.abs(floats(*shape)) + 0.1 if positive else floats(*shape)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = model.graph.output[0].name
    (expected,) = session.run([wanted], {"x": x})
    found = OnnxGraph(model, "x", wanted)(torch.from_numpy(x))
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("kind", "constants", "attributes"), CASES, ids=lambda value: str(value)[:40])
def test_it_computes_what_onnx_runtime_computes(kind: str, constants: Constants, attributes: dict[str, Any]) -> None:
    inputs = ["x", *constants]
    compared(one_operator(helper.make_node(kind, inputs, ["y"], **attributes), constants, IMAGE), IMAGE)


@pytest.mark.parametrize("kind", ["Log", "Sqrt"])
def test_of_positive_numbers(kind: str) -> None:
    compared(one_operator(helper.make_node(kind, ["x"], ["y"]), {}, IMAGE), IMAGE, positive=True)


def test_a_product_with_a_sum() -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0, transB=1)
    compared(one_operator(node, {"w": floats(5, 8), "b": floats(5)}, (3, 8)), (3, 8))


def test_several_outputs_and_numbers_that_are_made_on_the_way() -> None:
    """The shape of the picture decides that of the answer, as in what exporters write."""
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["first", "second"], axis=1),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"]),
        helper.make_node("Unsqueeze", ["count", "zeros"], ["counts"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["counts", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["second", "target"], ["y"]),
    ]
    model = one_operator(nodes[0], {"sizes": whole(1, 3), "zero": np.array(0, np.int64), "zeros": whole(0)}, IMAGE)
    model.graph.node.extend(nodes[1:])
    compared(model, IMAGE)


def test_every_operator_is_tried() -> None:
    elsewhere = {"Log", "Sqrt", "Gemm", "Split", "Shape", "Constant"}
    assert {kind for kind, _, _ in CASES} | elsewhere == set(OPERATORS)


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("Sin", {}, "it uses the operator Sin, which mlsession cannot convert"),
        ("AveragePool", {**SQUARE, "ceil_mode": 1}, "AveragePool.*cannot convert one in this form"),
        ("AveragePool", {**SQUARE, "pads": [0, 0, 1, 1]}, "of a mean with uneven padding"),
        ("Cast", {"to": TensorProto.INT64}, "Cast.*to whole numbers"),
    ],
)
def test_another_operator_or_form_is_refused(kind: str, attributes: dict[str, Any], words: str) -> None:
    model = one_operator(helper.make_node(kind, ["x"], ["y"], **attributes), {}, IMAGE)
    with pytest.raises(InvalidParameter, match=words):
        OnnxGraph(model, "x", "y")(torch.from_numpy(floats(*IMAGE)))


def test_old_operators_are_refused() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(InvalidParameter, match="of version 11, older than 13"):
        OnnxGraph(one_operator(node, {}, IMAGE, opset=11), "x", "y")


def test_only_what_leads_to_the_output_is_looked_at() -> None:
    model = one_operator(helper.make_node("Relu", ["x"], ["y"]), {}, IMAGE)
    model.graph.node.append(helper.make_node("Sin", ["y"], ["z"]))
    model.graph.initializer.append(numpy_helper.from_array(floats(3), "unused"))
    compared(model, IMAGE)


def test_the_document_lists_every_operator() -> None:
    text = (Path(__file__).parents[2] / "docs" / "extractors.md").read_text(encoding="utf-8")
    listed = " ".join(text.partition("operators are converted: ")[2].partition(". With any other")[0].split())
    assert listed.split(", ") == list(OPERATORS)
