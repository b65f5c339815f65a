"""EfficientNet-Lite in torch's kernels of oneDNN: a convolution, its bias and ReLU6 in one pass over memory.

torch has no public name for these operators; its own compiler puts them in the place of convolutions, so they come
with every build for x86 processors. Measured with Lite0 in bfloat16, CPU ms a picture on one core: 8.4 with them, 14.1
with the same network of torch's public operators, 9.4 with `torch.compile`, which takes 35 s to build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mlsession.extractors.embedded.extractor import LiteVariant
from mlsession.extractors.embedded.plan import ACTIVE_TO, MIDDLE_GREY, Convolution, plan_of
from mlsession.extractors.embedded.weights import Kernel
from mlsession.extractors.framing import first_pixel
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.running.runtime import BATCH_SIZE, Precision
from mlsession.processor import this_processor

FUSED = "onednn fused"
"""Their name in a numerics id."""


def has_fused_kernels() -> bool:
    """Whether this build of torch has them for this processor."""
    return (
        this_processor().is_x86
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.aten, "mkldnn_reorder_conv2d_weight")
    )


class FusedRunner:
    """One network, its weights laid out as the kernels want them. Belongs to one thread at a time."""

    def __init__(self, variant: LiteVariant, kernels: Mapping[str, Kernel], precision: Precision) -> None:
        """In bfloat16 the weights are rounded, too; the whole numbers of pixels are exact in it."""
        plan = plan_of(variant)
        self._kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        first = first_pixel(variant.network_side)
        self._centre = slice(first, first + variant.network_side)
        with torch_numerics(1), torch.inference_mode():
            self._stem = _Fused(plan.stem, kernels, self._kind)
            self._blocks = [
                ([_Fused(each, kernels, self._kind) for each in block.convolutions], block.adds_input)
                for block in plan.blocks
            ]
            self._head = _Fused(plan.head, kernels, self._kind)

    def __call__(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [batch size, D] of uint8 [batch size, side, side, 3]."""
        with torch_numerics(1), torch.inference_mode():
            centre = torch.from_numpy(batch)[:, self._centre, self._centre]
            # The channels stay last in memory, as the pictures have them and the convolutions want them.
            entering = (centre.permute(0, 3, 1, 2).to(self._kind) - MIDDLE_GREY) / MIDDLE_GREY
            pictures = self._stem(entering)
            for convolutions, adds_input in self._blocks:
                entering = pictures
                for each in convolutions:
                    pictures = each(pictures)
                pictures = pictures.add_(entering) if adds_input else pictures
            rows: npt.NDArray[np.float32] = self._head(pictures).mean(dim=(2, 3)).float().numpy()
            return rows


class _Fused:
    def __init__(self, plan: Convolution, kernels: Mapping[str, Kernel], kind: torch.dtype) -> None:
        before, after = plan.padding
        # The odd zero, to the right and below, would take a padded copy of the input. A kernel that begins with a row
        # and a column of zeros, and as many zeros around the input on all sides, come to the same.
        weight = functional.pad(torch.from_numpy(kernels[plan.name].weight), (after - before, 0) * 2)
        self._stride, self._padding = [plan.stride] * 2, [after] * 2
        self._groups = plan.inputs if plan.is_depthwise else 1
        shape = [BATCH_SIZE, plan.inputs, plan.side, plan.side]
        self._weight = _laid_out(weight.to(kind), self._padding, self._stride, self._groups, shape)
        self._bias = torch.from_numpy(kernels[plan.name].bias).to(kind)
        # What oneDNN calls ReLU6.
        self._after: tuple[str, list[float]] = ("hardtanh", [0.0, ACTIVE_TO]) if plan.is_active else ("none", [])

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        where = (self._padding, self._stride, [1, 1], self._groups)
        out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            pictures, self._weight, self._bias, *where, *self._after, ""
        )
        return out


def _laid_out(
    weight: torch.Tensor, padding: Sequence[int], stride: Sequence[int], groups: int, shape: Sequence[int]
) -> torch.Tensor:
    """A kernel as oneDNN wants it for inputs of one shape; opaque to all else."""
    last = weight.contiguous(memory_format=torch.channels_last).to_mkldnn()
    made: torch.Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(last, padding, stride, [1, 1], groups, shape)
    return made
