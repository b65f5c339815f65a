"""Networks and pictures for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mlsession.export.protocol import Images
from mlsession.randomness import keyed_generator

SIDE = 64
LABELS = ("cat", "dog", "bird")


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; stride 2 with the uneven padding of TensorFlow's "same"."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide, self.kernel, self.stride, self.adds = channels * 2, kernel, stride, stride == 1 and channels == out
        self.expand = nn.Conv2d(channels, wide, 1)
        self.filter = nn.Conv2d(wide, wide, kernel, stride, groups=wide, padding=kernel // 2 if stride == 1 else 0)
        self.project = nn.Conv2d(wide, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x))
        if self.stride == 2:
            before = (self.kernel - 2) // 2
            after = self.kernel - 2 - before
            y = F.pad(y, (before, after, before, after))
        out: Tensor = self.project(F.relu6(self.filter(y)))
        return x + out if self.adds else out


class SmallClassifier(nn.Module):
    """Pixels 0..255 -> probabilities, with crop and normalisation inside, as the trained classifier has them."""

    def __init__(self, num_classes: int, side: int = SIDE, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.start, self.stop = side // 16, side - side // 16
            self.stem = nn.Conv2d(3, 8, 3, 2)
            self.blocks = nn.Sequential(
                InvertedResidual(8, 8, 3, 1), InvertedResidual(8, 16, 5, 2), InvertedResidual(16, 16, 5, 1)
            )
            self.last = nn.Conv2d(16, 32, 1)
            self.linear = nn.Linear(32, num_classes)
        self.to(memory_format=torch.channels_last).eval()
        # Untrained features are nearly the same for every picture; a steep, centred head makes the answers differ.
        with torch.no_grad():
            features = self.features(torch.from_numpy(noise_images(8, side)).permute(0, 3, 1, 2).float())
            self.linear.weight.mul_(4 / features.std(dim=0).mean())
            self.linear.bias.copy_(-self.linear.weight @ features.mean(dim=0))

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(self.linear(self.features(pixels)), dim=1)

    def features(self, pixels: Tensor) -> Tensor:
        x = pixels[:, :, self.start : self.stop, self.start : self.stop]
        x = ((x - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(F.pad(x, (0, 1, 0, 1))))
        return F.relu6(self.last(self.blocks(x))).mean(dim=(2, 3))


class MeanColour(nn.Module):
    """The smallest classifier, for what does not depend on the network: pixels 0..255 -> probabilities."""

    def __init__(self, num_classes: int, seed: int = 0) -> None:
        super().__init__()
        weight = keyed_generator(seed, "mean colour").normal(scale=4, size=(num_classes, 3))
        self.linear = nn.Linear(3, num_classes, bias=False).eval()
        self.linear.weight.data.copy_(torch.from_numpy(weight))

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(self.linear(pixels.mean(dim=(2, 3)) / 255), dim=1)


def noise_images(count: int, side: int = SIDE) -> Images:
    """uint8 [count, side, side, 3] of even noise, with a colour cast of its own in each picture."""
    random = keyed_generator(0, "noise images", count, side)
    casts = random.uniform(0.1, 1, size=(count, 1, 1, 3))
    return (random.integers(0, 256, size=(count, side, side, 3)) * casts).astype(np.uint8)


def answers(network: nn.Module, images: Images) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The network's own probabilities, float32 [N, K]."""
    with torch.no_grad():
        result: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = network(
            torch.from_numpy(images).permute(0, 3, 1, 2).float()
        ).numpy()
    return result


@dataclass(frozen=True, slots=True)
class Trained:
    """An `ExportableModel` around a network."""

    module: nn.Module
    labels: tuple[str, ...]
    side: int

    def network(self) -> nn.Module:
        return self.module
