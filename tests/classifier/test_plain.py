"""A classifier as a module of torch that needs nothing of mlsession."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlsession.classifier.model import ImageModel
from mlsession.classifier.plain import plain_module
from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import timm_extractor
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.trainable import trainable_network
from mlsession.extractors.tuned import TunedExtractor
from mlsession.heads.logistic.head import LogisticHead
from mlsession.randomness import keyed_generator
from tests.classifier.heads import LABELS, drawn, logistic, model, perceptron
from tests.extractors.networks import save_weights, timm_network


def tuned_timm(folder: Path) -> ImageModel:
    """A small network of timm with batch normalisation, a part of it tuned."""
    base = timm_extractor("test_resnet", save_weights(timm_network("test_resnet"), folder / "weights.safetensors"))
    first = dict(trainable_network(base).named_parameters())["network.conv1.0.weight"].detach().numpy()
    spec = TunedExtractor(base=base, tensors={"network.conv1.0.weight": 1.5 * first})
    head = LogisticHead(weight=drawn(3, base.dimension), bias=drawn(3))
    return ImageModel(labels=LABELS, feature_extractor=spec, head=head)


def pictures(side: int) -> torch.Tensor:
    return torch.from_numpy(keyed_generator(0, "pictures").integers(0, 256, (2, 3, side, side))).float()


@pytest.mark.parametrize("kind", ["logistic", "perceptron", "tuned"])
def test_it_says_what_the_model_says_and_holds_no_class_of_ours(kind: str, tmp_path: Path) -> None:
    given = tuned_timm(tmp_path) if kind == "tuned" else model(logistic() if kind == "logistic" else perceptron())
    module, pixels = plain_module(given), pictures(given.side)
    with torch_numerics(1), torch.no_grad():
        expected = given.network()(pixels)
        found = module(pixels)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)
        logits = plain_module(given, "logits")(pixels)
        np.testing.assert_allclose(torch.softmax(logits, dim=1).numpy(), expected.numpy(), atol=1e-6)
        assert not torch.allclose(logits, expected)
    assert not module.training
    assert {type(each).__module__.partition(".")[0] for each in module.modules()} <= {"torch", "timm"}
    saved = io.BytesIO()
    torch.save(module, saved)
    assert b"mlsession" not in saved.getvalue()
    again = torch.load(io.BytesIO(saved.getvalue()), weights_only=False)
    with torch_numerics(1), torch.no_grad():
        assert torch.equal(again(pixels), found)


def test_it_can_be_trained_on_and_the_model_stays_as_it_is() -> None:
    given = model(logistic())
    module, digest = plain_module(given), given.digest
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert sum(isinstance(each, nn.Conv2d) for each in module.modules()) > 40
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert replace(given).digest == digest
    assert all(parameter.abs().sum() > 0 for parameter in given.network().parameters())


def test_another_output_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="must be one of 'probabilities', 'logits'"):
        plain_module(model(logistic()), "labels")  # type: ignore[arg-type]
