"""A trained classifier as a value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mlsession.classifier.predictor import Predictor
from mlsession.extractors.tuned import tensor_digest
from mlsession.heads.protocol import Head
from mlsession.randomness import keyed_generator
from tests.classifier.heads import logistic, model, perceptron


@pytest.mark.parametrize("head", [logistic(), perceptron()])
def test_the_network_says_what_the_predictor_says(head: Head) -> None:
    """But for the rounding of features to half precision, which this head, drawn at random, makes much of."""
    pictures = keyed_generator(0, "pictures").integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    expected = Predictor(replace(model(head), precision="float32")).probabilities(list(pictures))
    network = model(head).network()
    assert not network.training
    with torch.no_grad():
        found = network(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float()).numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_no_pictures_no_probabilities() -> None:
    assert Predictor(model(perceptron())).probabilities([]).shape == (0, 3)


def test_the_digest_is_over_names_dtypes_shapes_and_bytes() -> None:
    tensors = logistic().tensors()
    digest = tensor_digest(tensors)
    assert tensor_digest(dict(reversed(tensors.items()))) == digest
    assert tensor_digest({"a": tensors["weight"], "bias": tensors["bias"]}) != digest
    assert tensor_digest({**tensors, "weight": tensors["weight"].T}) != digest
    assert tensor_digest({**tensors, "weight": np.asfortranarray(tensors["weight"])}) == digest
    assert tensor_digest({**tensors, "bias": tensors["bias"].astype(">f4")}) == digest
