"""The small extractor of tests: real, repeatable, and out of a product's reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import extractor_from_json, extractor_named, load_extractor
from mlsession.testing.tiny_extractor import TinyExtractor
from tests.extractors.photos import prepared


def test_its_features_are_a_function_of_the_picture_and_the_seed() -> None:
    before = torch.random.get_rng_state()
    spec = TinyExtractor()
    extractor = load_extractor(spec)
    images = prepared("Banana", spec.input_side)[:6]
    features = extractor.extract(images)
    assert features.shape == (6, spec.dimension)
    assert len(np.unique(features, axis=0)) == 6
    again = load_extractor(TinyExtractor()).extract(images[3:5])
    assert np.array_equal(again, features[3:5])
    assert not np.array_equal(load_extractor(TinyExtractor(seed=1)).extract(images), features)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (extractor.identity, extractor.name) == (spec.identity, spec.name)


def test_nobody_can_name_it() -> None:
    with pytest.raises(InvalidParameter, match="choose one of"):
        extractor_named(TinyExtractor().name)
    with pytest.raises(InvalidParameter, match="this version of mlsession has only"):
        extractor_from_json(TinyExtractor().to_json())
