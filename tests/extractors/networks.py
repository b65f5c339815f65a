"""Files of weights for small networks of timm and torchvision: random, but always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models  # type: ignore[import-untyped]

from mlsession.extractors.framing import first_pixel


def timm_network(name: str, seed: int = 0, **options: Any) -> Any:
    """A network of timm with random weights, its classifier included, ready for use."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return livened(timm.create_model(name, pretrained=False, **options))


def torchvision_network(name: str, seed: int = 0, **options: Any) -> Any:
    """The same of torchvision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return livened(models.get_model(name, weights=None, **options))


def livened(network: nn.Module) -> nn.Module:
    """Statistics as after a training: fresh ones are 0 and 1, and mistakes with them would not show."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.7, 1.4)
    return network.eval()


def save_weights(network: nn.Module, path: Path) -> Path:
    """Writes a network's tensors, as safetensors or with `torch.save` by the name of the file."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def expected_features(
    network: nn.Module,
    images: npt.NDArray[np.uint8],
    side: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> npt.NDArray[np.float32]:
    """What a network without its classifier gives, in steps of our own."""
    first = first_pixel(side)
    centre = images[:, first : first + side, first : first + side].astype(np.float32) / 255
    normalized = (centre - np.array(mean, np.float32)) / np.array(std, np.float32)
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = network(torch.from_numpy(normalized.transpose(0, 3, 1, 2))).numpy()
    return found
