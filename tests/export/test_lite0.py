"""The real extractor with a head, from network to proof."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlsession.export import ModelMetadata
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.evaluate import evaluate_mlmodel
from mlsession.export.verify import TOLERANCE, network_probabilities, probe_images
from mlsession.extractors.catalog import load_extractor, scene_print
from mlsession.randomness import keyed_generator
from tests.export.networks import Trained

LABELS = tuple(f"label {number}" for number in range(5))


class WithHead(nn.Module):
    """Features, standardised, times a matrix; softmax."""

    def __init__(self, features: nn.Module, dimension: int) -> None:
        super().__init__()
        self.features = features
        random = keyed_generator(0, "head")
        self.weight = nn.Parameter(torch.from_numpy(random.normal(size=(len(LABELS), dimension)).astype("float32")))
        self.bias = nn.Parameter(torch.from_numpy(random.normal(size=len(LABELS)).astype("float32")))
        self.register_buffer("mean", torch.full((dimension,), 0.3))
        self.register_buffer("scale", torch.full((dimension,), 1.5))

    def forward(self, pixels: Tensor) -> Tensor:
        standard = (self.features(pixels) - self.mean) / self.scale
        return torch.softmax(nn.functional.linear(standard, self.weight / 16, self.bias), dim=1)


def test_the_exported_extractor_and_head_give_the_same_answers() -> None:
    extractor = load_extractor(scene_print())
    model = Trained(WithHead(extractor.network(), extractor.dimension), LABELS, extractor.input_side)
    exporter, images = CoreMLExporter(), probe_images(4, extractor.input_side)
    data = exporter.encode(model, ModelMetadata())
    report = exporter.verify("Lite0.mlmodel", data, model, images)
    assert report.verified
    assert report.max_difference < TOLERANCE / 10
    # 3.4 million weights in float32, and little else.
    assert 13_000_000 < report.size_bytes < 15_000_000
    # The file depends on the pictures, and on their colours, as the network does.
    probabilities = network_probabilities(model.network(), images)
    assert len({row.tobytes() for row in probabilities.round(3)}) == len(images)
    swapped = evaluate_mlmodel(data, images[..., ::-1].copy())[1]
    assert abs(swapped - probabilities).max() > 0.01
