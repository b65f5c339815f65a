"""A feature extractor that is made and run in milliseconds: for tests that train hundreds of times.

It is real in all that matters to a training (decoding, preparation, batches, a frozen network of torch), and sees
little: colours and coarse edges. Nothing in the package names it, so no product can be made with it by mistake.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.extractors.framing import picture_side
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.batched import BatchedExtractor
from mlsession.extractors.running.runtime import Runtime
from mlsession.images.geometry import PREPARATION
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Json

if TYPE_CHECKING:
    from torch import nn

_NETWORK_SIDE = 28
_RUNTIME = Runtime(backend="torch", precision="float32")
_CHANNELS = (3, 12, 24, 32)
"""Of the pictures, and of each convolution (3x3, stride 2): 9,896 weights in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyExtractor:
    """Three convolutions with weights drawn by `seed`, and the mean over all places: 32 features of 28x28 pixels.

    Its values are given as `TransferLearning(feature_extractor=TinyExtractor())`, also to resume.
    """

    seed: int = 0

    @property
    def name(self) -> str:
        """Names no extractor that a person could ask for."""
        return f"testing:tiny:{self.seed}"

    @property
    def identity(self) -> str:
        """See `FeatureExtractor.identity`."""
        return f"{self.name} {PREPARATION} {self.input_side}>{_NETWORK_SIDE}"

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return _CHANNELS[-1]

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return picture_side(_NETWORK_SIDE)

    def to_json(self) -> dict[str, Json]:
        """For a session's record; `extractor_from_json` refuses it."""
        return {"kind": "testing", "seed": self.seed}

    def load(self) -> FeatureExtractor:
        """Makes the network; draws nothing from the process's generator."""
        from mlsession.extractors.network import Framed, frozen, runner

        network = frozen(Framed(self._network(), _NETWORK_SIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
        return BatchedExtractor(
            name=self.name,
            identity=self.identity,
            dimension=self.dimension,
            input_side=self.input_side,
            runtime=_RUNTIME,
            run=runner(network, _RUNTIME.precision),
            network=lambda: network,
        )

    def _network(self) -> nn.Module:
        import torch
        from torch import nn

        layers: list[nn.Module] = []
        with torch.device("meta"):
            for before, after in itertools.pairwise(_CHANNELS):
                layers += [nn.Conv2d(before, after, kernel_size=3, stride=2), nn.ReLU()]
            network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        state = {
            name: torch.from_numpy(self._weights(name, tuple(each.shape))) for name, each in network.named_parameters()
        }
        network.load_state_dict(state, assign=True)
        return network

    def _weights(self, name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """As K. He et al., "Delving Deep into Rectifiers", ICCV 2015, but uniform; biases are 0."""
        if len(shape) == 1:
            return np.zeros(shape, np.float32)
        bound = math.sqrt(6.0 / math.prod(shape[1:]))
        return keyed_generator(self.seed, "tiny", name).uniform(-bound, bound, shape).astype(np.float32)
