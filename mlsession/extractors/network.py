"""Networks of torch as feature extractors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlsession.extractors.framing import first_pixel
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.running.batched import BatchedExtractor
from mlsession.extractors.running.feeding import FedExtractor
from mlsession.extractors.running.runtime import Precision, Runtime
from mlsession.extractors.tuned import check_tensors
from mlsession.session.phase import Arrays

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


def extractor_of(
    network: nn.Module,
    *,
    name: str,
    identity: str,
    dimension: int,
    input_side: int,
    runtime: Runtime,
    library: str | None = None,
) -> BatchedExtractor | FedExtractor:
    """A `frozen` network as an extractor on torch: on the CPU one for each thread, on a GPU one for all.

    See `BatchedExtractor` for the rest, and `FedExtractor` for what it raises.
    """
    made = (
        FedExtractor if runtime.gpu is not None else partial(BatchedExtractor, run=runner(network, runtime.precision))
    )
    return made(
        name=name,
        identity=identity,
        dimension=dimension,
        input_side=input_side,
        runtime=runtime,
        network=lambda: network,
        library=library,
    )


def frozen(network: nn.Module) -> nn.Module:
    """The network made ready to extract with: eval mode, no gradients, float32, channels last in memory."""
    network.requires_grad_(False)
    return network.eval().float().to(memory_format=torch.channels_last)


def retuned(network: nn.Module, tensors: Arrays, name: str) -> nn.Module:
    """The network itself, with some tensors of its `state_dict()` replaced by copies of those of a `TunedExtractor`.

    `name` is the extractor's, for messages. Raises `InvalidParameter` for tensors of another network.
    """
    state = network.state_dict()
    check_tensors({each: tuple(tensor.shape) for each, tensor in state.items()}, tensors, name)
    with torch.no_grad():
        for each, tensor in tensors.items():
            state[each].copy_(torch.from_numpy(np.array(tensor)))
    # Some networks keep what they have computed from their parameters in evaluation mode, until the mode changes.
    return network.train().eval()


@contextmanager
def random_generator_kept() -> Iterator[None]:
    """Runs the block, which fills networks with random numbers, and puts the process's generator back after it."""
    with torch.random.fork_rng(devices=[]):
        yield
