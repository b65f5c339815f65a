"""Networks of torch as feature extractors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlsession.extractors.framing import first_pixel
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.runtime import Precision

_WHITE = 255.0


class Framed(nn.Module):
    """float32 [N, 3, picture side, picture side] in 0..255 (RGB) to the features of the centre, normalised.

    `mean` and `std` are one number for each channel, on a scale where white is 1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, network_side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.side = network_side
        self.first = first_pixel(network_side)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor([_WHITE * value for value in values]).reshape(1, -1, 1, 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        last = self.first + self.side
        centre = pictures[:, :, self.first : last, self.first : last]
        out: torch.Tensor = self.network((centre - self.mean) / self.std)
        return out


def runner(network: nn.Module, precision: Precision) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """Runs a `frozen` network on batches of pictures, uint8 [n, side, side, 3], in the calling thread alone.

    In bfloat16 the weights are rounded too; the whole numbers of pixels are exact in it.
    """
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    rounded = copy.deepcopy(network).to(kind) if precision == "bfloat16" else network

    def run(batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch_numerics(1), torch.inference_mode():
            # The channels stay last in memory, as the pictures have them and the convolutions want them.
            pictures = torch.from_numpy(batch).permute(0, 3, 1, 2).to(kind)
            rows: npt.NDArray[np.float32] = rounded(pictures).float().numpy()
            return rows

    return run


def frozen(network: nn.Module) -> nn.Module:
    """The network made ready to extract with: eval mode, no gradients, float32, channels last in memory."""
    network.requires_grad_(False)
    return network.eval().float().to(memory_format=torch.channels_last)


@contextmanager
def random_generator_kept() -> Iterator[None]:
    """Runs the block, which fills networks with random numbers, and puts the process's generator back after it."""
    with torch.random.fork_rng(devices=[]):
        yield
