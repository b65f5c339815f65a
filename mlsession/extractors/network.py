"""Any frozen network as a feature extractor: fixed batches, so that each picture's features are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import features
from torch import nn

from mlsession.data.geometry import PREPARATION
from mlsession.errors import InvalidParameter
from mlsession.extractors.framing import first_pixel
from mlsession.extractors.numerics import cpu_numerics, torch_numerics

BATCH_SIZE = 8
"""Pictures in one pass through the network, always: a short batch is filled up with black ones.

At 8 the largest activation of EfficientNet-Lite is 38 to 52 MB, which glibc can keep for a thread; at 16 it passes the
64 MiB that it can, and extraction in a thread is half as fast.
"""

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


class NetworkExtractor:
    """A `FeatureExtractor` on the CPU in float32. Make one with `catalog.load_extractor`.

    `network` is ready for use (see `frozen`), with crop and normalisation inside; `library` names the package and
    version that defines it, where that is not mlsession.
    """

    def __init__(
        self,
        *,
        name: str,
        identity: str,
        dimension: int,
        input_side: int,
        network: nn.Module,
        threads: int,
        library: str | None = None,
    ) -> None:
        self.name = name
        self.identity = identity
        self.dimension = dimension
        self.input_side = input_side
        self._network = network
        self._threads = threads
        self._library = library

    def numerics(self) -> Mapping[str, str | int]:
        library = {} if self._library is None else {"library": self._library}
        return {
            **cpu_numerics(self._threads),
            "batch_size": BATCH_SIZE,
            "decoder": f"pillow {PIL.__version__} libjpeg-turbo {features.version('libjpeg_turbo')}",
            "preparation": PREPARATION,
            **library,
        }

    def network(self) -> nn.Module:
        return self._network

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        side = self.input_side
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (side, side, 3):
            found = f"{images.dtype} {list(images.shape)}"
            raise InvalidParameter("images", found, f"must be uint8 [N, {side}, {side}, 3]")
        rows = np.empty((len(images), self.dimension), np.float32)
        batch = np.zeros((BATCH_SIZE, side, side, 3), np.uint8)
        with torch_numerics(self._threads), torch.inference_mode():
            for start in range(0, len(images), BATCH_SIZE):
                count = min(BATCH_SIZE, len(images) - start)
                batch[:count] = images[start : start + count]
                batch[count:] = 0
                # The channels stay last in memory, as the images have them and the convolutions want them.
                pictures = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
                rows[start : start + count] = self._network(pictures)[:count].numpy()
        return rows


def frozen(network: nn.Module) -> nn.Module:
    """The network made ready to extract with: eval mode, no gradients, float32, channels last in memory."""
    network.requires_grad_(False)
    return network.eval().float().to(memory_format=torch.channels_last)


@contextmanager
def random_generator_kept() -> Iterator[None]:
    """Runs the block, which fills networks with random numbers, and puts the process's generator back after it."""
    with torch.random.fork_rng(devices=[]):
        yield
