"""Networks to be tuned: the same function as the extractor's, with gradients, and nothing in them that is random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torchvision import models  # type: ignore[import-untyped]

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import (
    FeatureExtractorSpec,
    load_extractor,
    scene_print,
    timm_extractor,
    torchvision_extractor,
)
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.trainable import depths, trainable_network
from mlsession.randomness import keyed_generator
from mlsession.testing.tiny_extractor import TinyExtractor
from tests.extractors.networks import save_weights, timm_network, torchvision_network

pytestmark = pytest.mark.usefixtures("one_thread")
EXACT = Runtime(backend="torch", precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def from_timm(name: str) -> Callable[[Path], FeatureExtractorSpec]:
    def make(folder: Path) -> FeatureExtractorSpec:
        return timm_extractor(name, save_weights(timm_network(name), folder / f"{name}.safetensors"))

    return make


def from_torchvision(name: str) -> Callable[[Path], FeatureExtractorSpec]:
    def make(folder: Path) -> FeatureExtractorSpec:
        return torchvision_extractor(name, save_weights(torchvision_network(name), folder / f"{name}.safetensors"))

    return make


NETWORKS = {
    "lite0": lambda folder: scene_print(),
    "test_resnet": from_timm("test_resnet"),
    "test_vit": from_timm("test_vit"),
    "mobilenet_v3_small": from_torchvision("mobilenet_v3_small"),
}


def pictures(side: int, count: int = 2) -> npt.NDArray[np.uint8]:
    return keyed_generator(0, "pictures").integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def entering(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_the_features_of_the_extractor_in_either_mode_and_takes_gradients(name: str, folder: Path) -> None:
    spec = NETWORKS[name](folder)
    network, images = trainable_network(spec), pictures(spec.input_side)
    assert network.training
    expected = load_extractor(spec, EXACT).extract(images)
    before = {each: tensor.clone() for each, tensor in network.state_dict().items()}
    generator = torch.random.get_rng_state()
    found = network(entering(images))
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5 * np.abs(expected).max())
    assert torch.equal(network(entering(images)), found), "something in it is random"
    found.sum().backward()
    assert all(each.grad is not None and each.dtype == torch.float32 for each in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), generator)
    with torch.no_grad():
        assert torch.equal(network.eval()(entering(images)), found)
    after = network.state_dict()
    assert all(torch.equal(after[each], tensor) for each, tensor in before.items()), "statistics have moved"


def test_what_a_network_keeps_in_evaluation_mode_is_forgotten_in_training(folder: Path) -> None:
    """LeViT keeps its attention biases, made of parameters: kept ones would be those of earlier weights."""
    spec = from_timm("levit_128s")(folder)
    network, images = trainable_network(spec), entering(pictures(spec.input_side))
    with torch.no_grad():
        first = network.eval()(images)
        network.train()
        biases = [each for name, each in network.named_parameters() if name.endswith("attention_biases")]
        for each in biases:
            each.add_(torch.linspace(-3, 3, each.numel()).reshape(each.shape))
        moved = network(images)
        assert not torch.allclose(moved, first, atol=1e-6)
        assert torch.equal(network.eval()(images), moved)
    network.train()
    for _ in range(2):  # A second backward pass fails where something of the first was kept.
        network(images).square().sum().backward()
    assert all(each.grad is not None for each in biases)


def test_two_of_an_extractor_share_no_memory() -> None:
    first, second = (trainable_network(scene_print()) for _ in range(2))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in second.parameters())


def layers_at(network: nn.Module) -> dict[int, set[str]]:
    """By depth the names of parameters without their last part."""
    found: dict[int, set[str]] = {}
    for name, depth in depths(network).items():
        found.setdefault(depth, set()).add(name.rpartition(".")[0])
    return found


def test_depths_of_lite0_are_its_blocks() -> None:
    network = trainable_network(scene_print())
    found = layers_at(network)
    assert list(found) == list(range(18))
    assert found[0] == {"stem.convolution"}
    assert found[17] == {"head.convolution"}
    for depth in range(1, 17):
        assert all(name.startswith(f"blocks.{depth - 1}.") for name in found[depth])
    assert list(depths(network)) == [name for name, _ in network.named_parameters()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "test_resnet",
            ["conv1.0 conv1.1", "conv1.3 conv1.4", "conv1.6 bn1", "layer1.0", "layer2.0", "layer3.0", "layer4.0"],
        ),
        ("test_vit", ["cls_token pos_embed patch_embed", *(f"blocks.{place}" for place in range(5)), "blocks.5 norm"]),
    ],
)
def test_depths_of_a_library_s_networks(name: str, expected: list[str], folder: Path) -> None:
    found = depths(trainable_network(NETWORKS[name](folder)))
    named = dict(enumerate(expected))
    assert sorted(set(found.values())) == sorted(named)
    for parameter, depth in found.items():
        inner = parameter.removeprefix("network.")
        assert any(inner == start or inner.startswith(f"{start}.") for start in named[depth].split()), parameter


def test_a_network_of_single_layers_has_a_depth_for_each() -> None:
    with torch.device("meta"):
        found = depths(models.vgg11())
    assert sorted(set(found.values())) == list(range(11))
    assert (found["features.0.weight"], found["features.0.bias"], found["classifier.6.bias"]) == (0, 0, 10)


def test_an_extractor_that_brings_its_own_network_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"testing:tiny:0.*brings its own network along.*choose scene_print"):
        trainable_network(TinyExtractor())
