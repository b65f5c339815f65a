"""The same photos for everybody: which fold each is in, and a fold laid out as folders."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlsession.randomness import keyed_generator

FOLDS = 5
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """All photos of a folder, in order of their paths; a photo is called by its number."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    """Of each photo: the name of the folder that it lies in."""
    digest: str
    """Of all labels and contents, so that results of other photos are not taken for results of these."""

    @classmethod
    def below(cls, folder: Path) -> Photos:
        """Those at any depth: the parts `train` and `test` of a folder count alike. Raises `ValueError` for none."""
        paths = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file()))
        if not paths:
            raise ValueError(f"{folder}: there are no images in it; name a folder with one sub-folder for each label")
        digest = hashlib.sha256()
        for path in paths:
            digest.update(f"{path.parent.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return cls(paths=paths, labels=tuple(path.parent.name for path in paths), digest=digest.hexdigest()[:16])

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def classes(self) -> tuple[str, ...]:
        """In order of their names."""
        return tuple(sorted(set(self.labels)))

    @property
    def truth(self) -> Numbers:
        """int64 [N] places in `classes`."""
        place = {label: number for number, label in enumerate(self.classes)}
        return np.array([place[label] for label in self.labels], np.int64)


def fold_numbers(labels: Sequence[str], seed: int, folds: int = FOLDS) -> Numbers:
    """int64 [N] from 0 to `folds` - 1: the fold that each photo is held out in.

    Each label is shuffled by a key of its own and dealt out in turn, from where the label before it ended: so each fold
    has a label's share to within one photo, and all folds are equally large to within one.
    """
    numbers = np.empty(len(labels), np.int64)
    dealt = 0
    for label in sorted(set(labels)):
        places = np.flatnonzero(np.array([own == label for own in labels]))
        keyed_generator(seed, "quality folds", label).shuffle(places)
        numbers[places] = (dealt + np.arange(len(places))) % folds
        dealt += len(places)
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One fold of one seed, laid out below `folder`: `train/<label>/<number>.jpg` and `test/<number>.jpg`."""

    folder: Path
    seed: int
    fold: int
    held_out: tuple[int, ...]
    """The numbers of the photos to predict."""

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def test(self) -> Path:
        return self.folder / "test"


def lay_out(photos: Photos, seed: int, fold: int, folder: Path) -> Cell:
    """Copies the photos of a fold; the labels of those held out are in no name."""
    numbers = fold_numbers(photos.labels, seed)
    cell = Cell(folder=folder, seed=seed, fold=fold, held_out=tuple(np.flatnonzero(numbers == fold).tolist()))
    cell.test.mkdir(parents=True)
    for label in photos.classes:
        (cell.train / label).mkdir(parents=True)
    for number, (path, label) in enumerate(zip(photos.paths, photos.labels, strict=True)):
        place = cell.test if numbers[number] == fold else cell.train / label
        shutil.copyfile(path, place / file_name(number, path))
    return cell


def file_name(number: int, path: Path) -> str:
    """What a photo is called in a cell."""
    return f"{number:06}{path.suffix.lower()}"
