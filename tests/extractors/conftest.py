from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mlsession.extractors.catalog import load_extractor, scene_print
from mlsession.extractors.protocol import FeatureExtractor
from tests.extractors.photos import prepared


@pytest.fixture(scope="session")
def extractor() -> FeatureExtractor:
    """The embedded extractor with two threads, whatever the machine."""
    return load_extractor(scene_print(), threads=2)


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.uint8]:
    """uint8 [12, 256, 256, 3]: real photos of four labels; no multiple of the batch size."""
    return np.concatenate([prepared(label)[:3] for label in ("Banana", "Kiwi", "Lemon", "Tomato")])
