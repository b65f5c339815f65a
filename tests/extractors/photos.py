"""The photos that ship with the examples, prepared, and the network that is the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch

from mlsession.extractors.weights import PackagedWeights, packaged_bytes, read_tensors
from mlsession.images.decode import prepare_image

PHOTOS = Path(__file__).parents[2] / "examples" / "data"


def prepared(label: str, side: int = 256, part: str = "test") -> npt.NDArray[np.uint8]:
    """uint8 [N, side, side, 3]: the photos of one label, in order of their names."""
    files = sorted((PHOTOS / part / label).glob("*.jpg"))
    return np.stack([prepare_image(file.read_bytes(), file.name, side) for file in files])


def oracle(name: str) -> Any:
    """timm's network with weights of its own, as if trained: statistics that are neither 0 nor 1. Always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.8, 1.5)
                torch.nn.init.uniform_(module.bias, -0.1, 0.6)
                assert module.running_mean is not None
                assert module.running_var is not None
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.7, 1.4)
    return network


def published(weights: PackagedWeights) -> Mapping[str, torch.Tensor]:
    """The tensors of a published file, as torch reads them."""
    return read_tensors(packaged_bytes(weights), weights.path)


def published_names(network: Any) -> dict[str, str]:
    """timm's name of each tensor -> the name in the published state dicts."""
    names = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    number = 0
    for stage, blocks in enumerate(network.blocks):
        for place, block in enumerate(blocks):
            theirs = f"blocks.{stage}.{place}"
            first = hasattr(block, "conv_pwl")
            parts = (
                {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
                if first
                else {"conv_dw": "_depthwise_conv", "bn1": "_bn1"}
            )
            parts |= (
                {"conv_pwl": "_project_conv", "bn3": "_bn2"} if first else {"conv_pw": "_project_conv", "bn2": "_bn2"}
            )
            names |= {f"{theirs}.{part}": f"_blocks.{number}.{published}" for part, published in parts.items()}
            number += 1
    return {key: f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}" for key in network.state_dict()}


def oracle_features(network: Any, images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """float32 [N, 1280] by timm, from the centre `side` x `side` of the pictures."""
    first = (images.shape[1] - side) // 2
    centre = images[:, first : first + side, first : first + side]
    with torch.inference_mode():
        pictures = (torch.from_numpy(centre).permute(0, 3, 1, 2).float() - 127.5) / 127.5
        features = network.forward_head(network.forward_features(pictures), pre_logits=True)
    result: npt.NDArray[np.float32] = features.numpy()
    return result


def relative_error(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """The largest over the rows of |found - expected| / |expected|."""
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())
