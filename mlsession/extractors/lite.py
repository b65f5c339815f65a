"""EfficientNet-Lite as a frozen feature extractor.

Architecture: M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
table 1, with the changes of its Lite variants (R. Liu, "Higher accuracy on vision models with EfficientNet-Lite",
TensorFlow blog, 2020): no squeeze-and-excitation, ReLU6 for swish, stem and head not scaled.

Batch normalisation is folded into the convolutions when the weights are loaded, so what remains is a chain of
convolutions with bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from mlsession.extractors.embedded import FEATURES, LiteVariant
from mlsession.extractors.framing import first_pixel
from mlsession.extractors.network import frozen

_STEM_CHANNELS = 32
_NORM_EPSILON = 1e-3
_MIDDLE_GREY = 127.5

# One row a stage of table 1 (stages 2 to 8): expansion, channels, repeats, stride, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def _scaled_channels(channels: int, width: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below `channels * width`."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class _Convolution(nn.Module):
    """A convolution with bias, TensorFlow's "same" padding, and ReLU6 after it if `active`.

    TensorFlow pads so that the output has ceil(side / stride) pixels, and puts an odd pixel of padding to the right
    and below. Only that odd case needs a padded copy of the input; an even one is left to the convolution.
    """

    def __init__(self, wide: tuple[int, int], kernel: int, stride: int, side: int, *, each: bool, active: bool) -> None:
        super().__init__()
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        self.margin = (total // 2, total - total // 2) * 2 if total % 2 else None
        self.convolution = nn.Conv2d(
            *wide, kernel, stride, padding=0 if total % 2 else total // 2, groups=wide[0] if each else 1
        )
        self.active = active
        self.output_side = math.ceil(side / stride)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if self.margin is not None:
            pictures = functional.pad(pictures, self.margin)
        out: torch.Tensor = self.convolution(pictures)
        return functional.relu6(out) if self.active else out


class _Block(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project; plus the input where the shapes allow."""

    def __init__(self, wide: tuple[int, int], expansion: int, kernel: int, stride: int, side: int) -> None:
        super().__init__()
        middle = wide[0] * expansion
        self.expand = (
            _Convolution((wide[0], middle), 1, 1, side, each=False, active=True) if expansion > 1 else nn.Identity()
        )
        self.filter = _Convolution((middle, middle), kernel, stride, side, each=True, active=True)
        self.output_side = self.filter.output_side
        self.project = _Convolution((middle, wide[1]), 1, 1, self.output_side, each=False, active=False)
        self.adds_input = stride == 1 and wide[0] == wide[1]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.project(self.filter(self.expand(pictures)))
        return out + pictures if self.adds_input else out


class EfficientNetLite(nn.Module):
    """float32 [N, 3, picture_side, picture_side] in 0..255 (RGB) to float32 [N, 1280], the mean over all places."""

    def __init__(self, variant: LiteVariant) -> None:
        super().__init__()
        self.side = variant.network_side
        self.first = first_pixel(variant.network_side)
        self.stem = _Convolution((3, _STEM_CHANNELS), 3, 2, self.side, each=False, active=True)
        side, channels = self.stem.output_side, _STEM_CHANNELS
        blocks: list[_Block] = []
        for number, (expansion, wide, repeats, stride, kernel) in enumerate(_STAGES):
            # The first and the last stage keep their depth in the Lite variants.
            scaled = number not in (0, len(_STAGES) - 1)
            for turn in range(math.ceil(repeats * variant.depth) if scaled else repeats):
                target = _scaled_channels(wide, variant.width)
                blocks.append(_Block((channels, target), expansion, kernel, stride if turn == 0 else 1, side))
                side, channels = blocks[-1].output_side, target
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution((channels, FEATURES), 1, 1, side, each=False, active=True)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        last = self.first + self.side
        centre = pictures[:, :, self.first : last, self.first : last]
        normalized = (centre - _MIDDLE_GREY) / _MIDDLE_GREY
        out: torch.Tensor = self.head(self.blocks(self.stem(normalized)))
        return out.mean(dim=(2, 3))


def build_network(variant: LiteVariant, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """The network with the weights of the published state dict, ready for use; see `frozen`."""
    # On the meta device nothing is initialised, so the process's random generator is left alone.
    with torch.device("meta"):
        network = EfficientNetLite(variant)
    state: dict[str, torch.Tensor] = {}
    for ours, convolution, norm in _published_names(len(network.blocks)):
        if f"{convolution}.weight" in weights:
            kernel, bias = _folded(weights, convolution, norm)
            state[f"{ours}.convolution.weight"], state[f"{ours}.convolution.bias"] = kernel, bias
    network.load_state_dict(state, assign=True)
    return frozen(network)


def _published_names(blocks: int) -> list[tuple[str, str, str]]:
    """Our name of each convolution, and the published names of it and of its batch normalisation."""
    names = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    for number in range(blocks):
        ours, theirs = f"blocks.{number}", f"_blocks.{number}"
        names += [
            (f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0"),
            (f"{ours}.filter", f"{theirs}._depthwise_conv", f"{theirs}._bn1"),
            (f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2"),
        ]
    return names


def _folded(weights: Mapping[str, torch.Tensor], convolution: str, norm: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel and bias that do the convolution and its batch normalisation at once; computed in float64."""
    gamma, beta, mean, variance = (
        weights[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + _NORM_EPSILON)
    kernel = weights[f"{convolution}.weight"].double() * scale[:, None, None, None]
    return kernel.float(), (beta - mean * scale).float()
