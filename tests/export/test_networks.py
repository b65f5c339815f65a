"""Networks of every kind with real heads, from network to proof: both forms of Core ML give the answers of the model.

The embedded extractor, trained, is in tests/training/test_exporting.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import nn

from mlsession.coreml.evaluate import evaluate_mlmodel
from mlsession.coreml.program import evaluate_mlpackage
from mlsession.export import ModelMetadata
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.encoded import Encoded
from mlsession.export.mlpackage import MLPackageExporter
from mlsession.export.protocol import Exporter, Images
from mlsession.export.verify import TOLERANCE, network_probabilities, proof_images
from mlsession.extractors.framing import picture_side
from mlsession.extractors.network import Framed
from mlsession.heads.layer import Layer
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.protocol import Head
from mlsession.randomness import keyed_generator
from tests.export.networks import Trained

pytestmark = pytest.mark.sampled(0.4)

Network: TypeAlias = Callable[[], tuple[nn.Module, int]]
"""An extractor's network, and the side of its pictures."""
Features: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float32]]

LABELS = tuple(f"label {number}" for number in range(5))
SIDE = 64


def narrow_resnet18() -> nn.Module:
    """ResNet-18 with an eighth of its channels: 64 features."""
    import timm

    network: nn.Module = timm.create_model("resnet18", num_classes=0, channels=(8, 16, 32, 64))
    return network


def narrow_mobilenet_v2() -> nn.Module:
    """MobileNetV2 with a quarter of its channels and six of its 17 blocks: 1,280 features."""
    import torchvision  # type: ignore[import-untyped]

    stages = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2]]
    network: nn.Module = torchvision.models.mobilenet_v2(width_mult=0.25, inverted_residual_setting=stages)
    network.classifier = nn.Identity()
    return network


def narrow_convnext() -> nn.Module:
    """A small ConvNeXt, with layer normalisation and GELU: 64 features."""
    import timm

    network: nn.Module = timm.create_model("test_convnext", num_classes=0)
    return network


def narrow_vit() -> nn.Module:
    """A ViT of 17 tokens, two blocks and 32 features: attention, layer normalisation, GELU, a class token."""
    import timm

    sizes: dict[str, Any] = {"img_size": SIDE, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 4}
    network: nn.Module = timm.models.VisionTransformer(**sizes, num_classes=0)
    return network


def framed(make: Callable[[], nn.Module]) -> Network:
    """An extractor with random weights, made of a library's network as ours are."""

    def made() -> tuple[nn.Module, int]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = make().eval()
        return Framed(network, SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval(), picture_side(SIDE)

    return made


def layer(name: str, inputs: int, outputs: int) -> Layer:
    random = keyed_generator(0, "head", name)
    weight = random.normal(scale=inputs**-0.5, size=(outputs, inputs)).astype(np.float32)
    return Layer(weight=weight, bias=random.normal(size=outputs).astype(np.float32))


def logistic(features: Features) -> LogisticHead:
    """A head whose answers differ between pictures: steep, and centred on their features."""
    drawn = layer("logistic", features.shape[1], len(LABELS)).weight
    logits = features @ drawn.T
    weight = np.asarray(drawn * (3 / logits.std(axis=0).mean()), np.float32)
    return LogisticHead(weight=weight, bias=np.asarray(-(features @ weight.T).mean(axis=0), np.float32))


def perceptron(features: Features) -> PerceptronHead:
    """Two hidden layers before such a head."""
    dimension = features.shape[1]
    hidden = (layer("first", dimension, 24), layer("second", 24, 16))
    values = features
    for each in hidden:
        values = np.maximum(each(values), np.float32(0))
    last = logistic(values)
    return PerceptronHead(layers=(*hidden, Layer(weight=last.weight, bias=last.bias)))


CASES: dict[str, tuple[Network, Callable[[Features], Head], tuple[Exporter[Trained], ...]]] = {
    "resnet18, perceptron": (framed(narrow_resnet18), perceptron, (CoreMLExporter(), MLPackageExporter())),
    "mobilenet_v2, logistic": (framed(narrow_mobilenet_v2), logistic, (CoreMLExporter(),)),
    "convnext, logistic": (framed(narrow_convnext), logistic, (MLPackageExporter(),)),
    "vit, logistic": (framed(narrow_vit), logistic, (CoreMLExporter(), MLPackageExporter())),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Trained, Images, tuple[Exporter[Trained], ...]]:
    """A model with a temperature, pictures that it tells apart (the last three extreme), and the formats of it."""
    make, head, exporters = CASES[request.param]
    network, side = make()
    images = proof_images(side)[2:]
    with torch.no_grad():
        features: Features = network(torch.from_numpy(images).permute(0, 3, 1, 2).float()).numpy()
    whole = nn.Sequential(network, head(features).tempered(0.7).module(), nn.Softmax(dim=1)).eval()
    return Trained(whole, LABELS, side), images, exporters


def test_the_export_gives_the_same_answers(case: tuple[Trained, Images, tuple[Exporter[Trained], ...]]) -> None:
    model, images, exporters = case
    num_weights = sum(value.numel() for value in model.network().parameters())
    probabilities = network_probabilities(model.network(), images)
    assert len({row.tobytes() for row in probabilities.round(3)}) == len(images)
    swapped = images[:1, ..., ::-1].copy()
    expected = network_probabilities(model.network(), swapped)
    assert abs(expected - probabilities[:1]).max() > 0.01
    for exporter in exporters:
        encoded = exporter.encode(model, ModelMetadata())
        report = exporter.verify(f"Model{exporter.suffix}", encoded, model, images)
        assert report.verified
        # One of several tokens is taken by what specification 4 does not have: iOS 14, macOS 11.
        expected_version = 6 if encoded.is_folder else 5 if "attn" in str(model.network()) else 4
        assert report.spec_version == expected_version
        assert report.num_images == len(images)
        assert (report.max_difference or 0.0) < TOLERANCE / 10
        # All weights in float32, and little else.
        assert 0 < report.size_bytes - 3.9 * num_weights < 200_000 + 0.2 * num_weights
        # The file depends on the colours of a picture as the network does.
        assert abs(answers(encoded, swapped) - expected).max() < TOLERANCE


def answers(encoded: Encoded, images: Images) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if encoded.is_folder:
        return evaluate_mlpackage(encoded.files, images)[1]
    return evaluate_mlmodel(encoded.data, images)[1]
