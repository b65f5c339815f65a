"""Fixtures for the tests of exports."""

from __future__ import annotations

import pytest

from mlsession.export import ModelMetadata
from mlsession.export.coreml import convert_mlmodel
from mlsession.export.mlpackage import convert_mlpackage
from tests.export.networks import LABELS, SIDE, SmallClassifier


@pytest.fixture(scope="session")
def small() -> bytes:
    """An `.mlmodel` of `SmallClassifier(3)`: three plain labels, no metadata."""
    return convert_mlmodel(SmallClassifier(3), LABELS, ModelMetadata(), SIDE)


@pytest.fixture(scope="session")
def small_package() -> dict[str, bytes]:
    """The files of an `.mlpackage` of `SmallClassifier(3)`: three plain labels, no metadata."""
    return convert_mlpackage(SmallClassifier(3), LABELS, ModelMetadata(), SIDE)
