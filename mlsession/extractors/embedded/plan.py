"""EfficientNet-Lite as a plan: every convolution with its sizes, for whatever runs it; pure.

Architecture: M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
table 1, with the changes of its Lite variants (R. Liu, "Higher accuracy on vision models with EfficientNet-Lite",
TensorFlow blog, 2020): no squeeze-and-excitation, ReLU6 for swish, stem and head not scaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mlsession.extractors.embedded.extractor import FEATURES, LiteVariant

MIDDLE_GREY = 127.5
"""A pixel p enters the network as (p - 127.5) / 127.5."""
ACTIVE_TO = 6.0
"""ReLU6: activations are kept between 0 and this."""

_COLOURS = 3
_STEM_CHANNELS = 32
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution with its batch normalisation folded in, and TensorFlow's "same" padding around its input."""

    name: str
    """As the published file calls its kernel, without ".weight"."""
    norm: str
    """As the published file calls its batch normalisation."""
    inputs: int
    outputs: int
    side: int
    """Height and width of its input."""
    kernel: int = 1
    stride: int = 1
    is_depthwise: bool = False
    """Whether each channel has a kernel of its own."""
    is_active: bool = True
    """Whether ReLU6 follows."""

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """Outputs, inputs that each output sees, height, width."""
        return self.outputs, 1 if self.is_depthwise else self.inputs, self.kernel, self.kernel

    @property
    def output_side(self) -> int:
        return math.ceil(self.side / self.stride)

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after, in both directions: an odd one is to the right and below, as TensorFlow has it."""
        total = max((self.output_side - 1) * self.stride + self.kernel - self.side, 0)
        return total // 2, total - total // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An inverted bottleneck: expand, filter each channel, project; plus the input where the shapes allow."""

    convolutions: tuple[Convolution, ...]
    adds_input: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LitePlan:
    """The whole network: stem, blocks, head, then the mean over all places."""

    stem: Convolution
    blocks: tuple[Block, ...]
    head: Convolution

    def convolutions(self) -> Iterator[Convolution]:
        """All of them, in order."""
        return (each for _, each in self.modules())

    def modules(self) -> Iterator[tuple[str, Convolution]]:
        """All of them, in order, each with the name of its module in `lite.EfficientNetLite`."""
        yield "stem.convolution", self.stem
        for place, block in enumerate(self.blocks):
            for inner, each in enumerate(block.convolutions):
                yield f"blocks.{place}.convolutions.{inner}.convolution", each
        yield "head.convolution", self.head


def plan_of(variant: LiteVariant) -> LitePlan:
    """The plan of one size of EfficientNet-Lite."""
    stem = Convolution(
        name="_conv_stem",
        norm="_bn0",
        inputs=_COLOURS,
        outputs=_STEM_CHANNELS,
        side=variant.network_side,
        kernel=3,
        stride=2,
    )
    side, channels = stem.output_side, _STEM_CHANNELS
    blocks: list[Block] = []
    for stage, (expansion, wide, repeats, stride, kernel) in enumerate(_STAGES):
        # The first and the last stage keep their depth in the Lite variants.
        scaled = stage not in (0, len(_STAGES) - 1)
        for turn in range(math.ceil(repeats * variant.depth) if scaled else repeats):
            block = _block(
                f"_blocks.{len(blocks)}",
                (channels, _scaled_channels(wide, variant.width)),
                side,
                expansion=expansion,
                kernel=kernel,
                stride=stride if turn == 0 else 1,
            )
            blocks.append(block)
            side, channels = block.convolutions[-1].output_side, block.convolutions[-1].outputs
    head = Convolution(name="_conv_head", norm="_bn1", inputs=channels, outputs=FEATURES, side=side)
    return LitePlan(stem=stem, blocks=tuple(blocks), head=head)


def _block(name: str, wide: tuple[int, int], side: int, *, expansion: int, kernel: int, stride: int) -> Block:
    before, after = wide
    middle = before * expansion
    expand = Convolution(name=f"{name}._expand_conv", norm=f"{name}._bn0", inputs=before, outputs=middle, side=side)
    each = Convolution(
        name=f"{name}._depthwise_conv",
        norm=f"{name}._bn1",
        inputs=middle,
        outputs=middle,
        side=side,
        kernel=kernel,
        stride=stride,
        is_depthwise=True,
    )
    project = Convolution(
        name=f"{name}._project_conv",
        norm=f"{name}._bn2",
        inputs=middle,
        outputs=after,
        side=each.output_side,
        is_active=False,
    )
    return Block(
        convolutions=(*((expand,) if expansion > 1 else ()), each, project),
        adds_input=stride == 1 and before == after,
    )


def _scaled_channels(channels: int, width: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below `channels * width`."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
