"""EfficientNet-Lite run by OpenVINO, in one thread, without torch; see `runtime` for when."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as ops

from mlsession.extractors.embedded.extractor import LiteVariant
from mlsession.extractors.embedded.plan import ACTIVE_TO, MIDDLE_GREY, Convolution, plan_of
from mlsession.extractors.embedded.weights import Kernel
from mlsession.extractors.framing import first_pixel
from mlsession.extractors.running.runtime import BATCH_SIZE, Precision, Runtime

_CORE_LOCK = threading.Lock()

Node = Any
"""A node of OpenVINO's graphs; it has no types."""

_HINTS: Mapping[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class LiteRunner:
    """One compiled network. Belongs to one thread at a time."""

    def __init__(self, variant: LiteVariant, kernels: Mapping[str, Kernel], runtime: Runtime) -> None:
        with _CORE_LOCK:
            core = _core()
        compiled = core.compile_model(
            _graph(variant, kernels),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _HINTS[runtime.precision],
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
                # With it all runners of a process would sit on the same core.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = compiled.create_infer_request()

    def __call__(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [batch size, D] of uint8 [batch size, side, side, 3]; valid until the next call."""
        self._request.infer([batch], share_inputs=True)
        rows: npt.NDArray[np.float32] = self._request.get_output_tensor(0).data
        return rows


@cache
def _core() -> openvino.Core:
    """The one of this process, for good.

    OpenVINO gives the thread that loads its CPU plugin a stack of its own for signal handlers, and frees it with the
    plugin, without taking it back from the thread: with the last `Core` gone, the next signal would end the process.
    """
    return openvino.Core()


def _graph(variant: LiteVariant, kernels: Mapping[str, Kernel]) -> openvino.Model:
    """Crop and normalisation inside, so that what comes in are the bytes of the pictures."""
    plan = plan_of(variant)
    first, side = first_pixel(variant.network_side), variant.picture_side
    last = first + variant.network_side
    pictures = ops.parameter([BATCH_SIZE, side, side, 3], dtype=np.uint8)
    centre = ops.slice(pictures, _whole([first, first]), _whole([last, last]), _whole([1, 1]), _whole([1, 2]))
    channels_first = ops.transpose(ops.convert(centre, "f32"), _whole([0, 3, 1, 2]))
    node = ops.divide(ops.subtract(channels_first, _float(MIDDLE_GREY)), _float(MIDDLE_GREY))
    node = _convolution(node, plan.stem, kernels)
    for block in plan.blocks:
        entering = node
        for each in block.convolutions:
            node = _convolution(node, each, kernels)
        node = ops.add(node, entering) if block.adds_input else node
    node = _convolution(node, plan.head, kernels)
    return openvino.Model([ops.reduce_mean(node, _whole([2, 3]), False)], [pictures], variant.name)


def _convolution(node: Node, plan: Convolution, kernels: Mapping[str, Kernel]) -> Node:
    kernel = kernels[plan.name]
    before, after = plan.padding
    how = ([plan.stride] * 2, [before] * 2, [after] * 2, [1, 1])
    if plan.is_depthwise:
        node = ops.group_convolution(node, _float(kernel.weight[:, None]), *how)
    else:
        node = ops.convolution(node, _float(kernel.weight), *how)
    node = ops.add(node, _float(kernel.bias.reshape(1, -1, 1, 1)))
    return ops.clamp(node, 0.0, ACTIVE_TO) if plan.is_active else node


def _float(values: float | npt.NDArray[np.float32]) -> Node:
    return ops.constant(np.asarray(values, dtype=np.float32))


def _whole(values: list[int]) -> Node:
    return ops.constant(np.array(values, dtype=np.int64))
