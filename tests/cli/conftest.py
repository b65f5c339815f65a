"""A few real photos and one session trained on them by the command itself, shared by the tests of this package."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlsession.job.signals import SIGNALS
from tests.cli.commands import Outcome, mlsession
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon", "Tomato")


@pytest.fixture(scope="session")
def fruits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train` (4 photos of each of three kinds, one unreadable) and `test` (2 of each)."""
    folder = tmp_path_factory.mktemp("fruits")
    copy_photos(folder / "train", "train", 4, LABELS)
    (folder / "train" / "Kiwi" / "torn.jpg").write_bytes(b"not a picture")
    copy_photos(folder / "test", "test", 2, LABELS)
    return folder


class Trained:
    """What `mlsession train` did, in a folder of its own."""

    def __init__(self, folder: Path, line: list[str], outcome: Outcome) -> None:
        self.folder = folder
        self.line = line
        self.outcome = outcome
        self.session = folder / "train.mlsession"
        self.model = folder / "new" / "folder" / "fruits.safetensors"


@pytest.fixture(scope="session")
def trained(fruits: Path) -> Trained:
    """A finished session at its default place, tested and exported; not to be changed."""
    line = ["train", "train", "--test", "test", "--export", "new/folder/fruits.safetensors", "--author", "A. Tester"]
    return Trained(fruits, line, mlsession(*line, folder=fruits))


@pytest.fixture
def handlers_as_they_were() -> Iterator[None]:
    """A command that was interrupted is about to end, and leaves its handlers: this process goes on."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
