"""A small set of real photos, and one feature cache that the tests of this package share: photos are extracted once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mlsession as ml
from tests.photos import copy_photos

LABELS = ("Banana", "Kiwi", "Lemon")

Start = Callable[..., ml.Job[ml.Classifier]]
UNTUNED = ml.ModelParameters(tune="off")
"""Most tests here are about other things than the choice of a penalty, and count checkpoints and iterations."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def train_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 photos of each of three kinds; not to be changed."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 17, LABELS)


@pytest.fixture(scope="session")
def test_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 photos of each of three kinds; not to be changed."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "test", "test", 6, LABELS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A copy of the training photos that a test may change."""
    return copy_photos(tmp_path / "photos", "train", 17, LABELS)


@pytest.fixture
def start(train_photos: Path, tmp_path: Path, cache: str) -> Start:
    """Starts a training; by default on the shared photos, in one session folder of the test's own."""

    def begin(
        data: Path | str = train_photos,
        session: str | Path = tmp_path / "session",
        testing: Path | None = None,
        parameters: ml.ModelParameters | None = UNTUNED,
        checkpoint_interval: int = 1,
        cache: str | None = cache,
        **options: object,
    ) -> ml.Job[ml.Classifier]:
        where = ml.SessionParameters(
            session,
            checkpoint_interval=checkpoint_interval,
            cache=cache,
            **options,  # type: ignore[arg-type]
        )
        source = ml.DataSource.labeled_directories(data)
        test = None if testing is None else ml.DataSource.labeled_directories(testing)
        return ml.Classifier.train(source, parameters, where, testing=test)

    return begin
