"""EfficientNet-Lite as a network of torch; see `lite_plan` for its architecture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from mlsession.extractors.embedded.extractor import LiteVariant
from mlsession.extractors.embedded.plan import MIDDLE_GREY, Block, Convolution, plan_of
from mlsession.extractors.embedded.weights import Kernel
from mlsession.extractors.framing import first_pixel
from mlsession.extractors.network import frozen


class _Convolution(nn.Module):
    """Only the odd case of padding needs a padded copy of the input; an even one is left to the convolution."""

    def __init__(self, plan: Convolution, kernels: Mapping[str, Kernel]) -> None:
        super().__init__()
        before, after = plan.padding
        self.margin = None if before == after else (before, after) * 2
        with torch.device("meta"):  # Nothing is initialised, so the process's random generator is left alone.
            self.convolution = nn.Conv2d(
                plan.inputs,
                plan.outputs,
                plan.kernel,
                plan.stride,
                padding=before if before == after else 0,
                groups=plan.inputs if plan.is_depthwise else 1,
            )
        kernel = kernels[plan.name]
        state = {"weight": torch.from_numpy(kernel.weight), "bias": torch.from_numpy(kernel.bias)}
        self.convolution.load_state_dict(state, assign=True)
        self.active = plan.is_active

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.margin is not None:
            pictures = functional.pad(pictures, self.margin)
        out: torch.Tensor = self.convolution(pictures)
        return functional.relu6(out) if self.active else out


class _Block(nn.Module):
    def __init__(self, plan: Block, kernels: Mapping[str, Kernel]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*(_Convolution(each, kernels) for each in plan.convolutions))
        self.adds_input = plan.adds_input

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.convolutions(pictures)
        return out + pictures if self.adds_input else out


class EfficientNetLite(nn.Module):
    """float32 [N, 3, picture_side, picture_side] in 0..255 (RGB) to float32 [N, 1280], the mean over all places."""

    def __init__(self, variant: LiteVariant, kernels: Mapping[str, Kernel]) -> None:
        super().__init__()
        plan = plan_of(variant)
        self.side = variant.network_side
        self.first = first_pixel(variant.network_side)
        self.stem = _Convolution(plan.stem, kernels)
        self.blocks = nn.Sequential(*(_Block(block, kernels) for block in plan.blocks))
        self.head = _Convolution(plan.head, kernels)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        last = self.first + self.side
        centre = pictures[:, :, self.first : last, self.first : last]
        normalized = (centre - MIDDLE_GREY) / MIDDLE_GREY
        out: torch.Tensor = self.head(self.blocks(self.stem(normalized)))
        return out.mean(dim=(2, 3))


def build_network(variant: LiteVariant, kernels: Mapping[str, Kernel]) -> nn.Module:
    """The network with the kernels of `folded_kernels`, ready for use; see `frozen`."""
    return frozen(EfficientNetLite(variant, kernels))
