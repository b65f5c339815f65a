"""Whether the verdict on a model names the limit that was planted in its images.

    python -m benchmarks.advice PHOTOS [--seeds N] [--only NAME,NAME]

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label, some 40 photos of each to train on
and 20 to test on; they are copied, and stay as they are. For each limit of `PLANTS` and each seed it is planted in a
copy, a session is trained as by default, and the rule of its verdict is compared with the one that is right. Prints a
table, one verdict of each limit in full, and how long a session took to give it. Where nothing is planted, that nothing
stands out is right, and so is a pair of classes that are hard to tell apart, if the photos hold one.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

import mlsession as ml
from mlsession.randomness import keyed_generator

SEEDS = 3
FEW = 4
OUTNUMBERED = 12
SWAPPED = 0.2
TINY_SIDE = 32


class Photos:
    """A copy of the photos that a limit is planted in."""

    def __init__(self, photos: Path, folder: Path, seed: int) -> None:
        self.train, self.test, self.seed = folder / "train", folder / "test", seed
        for part in (self.train, self.test):
            shutil.copytree(photos / part.name, part)
        self.labels = sorted(path.name for path in self.train.iterdir() if path.is_dir())
        self.parameters = ml.ModelParameters()

    def of(self, part: Path, label: str = "*") -> list[Path]:
        """The photos of a part, or of one label of it, in the order of this seed."""
        found = sorted(path for path in part.glob(f"{label}/*") if path.is_file())
        order = keyed_generator(self.seed, "advice photos", part.name, label).permutation(len(found))
        return [found[place] for place in order.tolist()]

    def keep(self, part: Path, label: str, count: int) -> None:
        """Deletes all but some of a label's photos."""
        for path in self.of(part, label)[count:]:
            path.unlink()

    def swap(self, part: Path, share: float) -> None:
        """Moves a share of the photos to another label each."""
        generator = keyed_generator(self.seed, "advice swap", part.name)
        photos = self.of(part)
        for path in photos[: round(share * len(photos))]:
            others = [label for label in self.labels if label != path.parent.name]
            path.rename(part / others[int(generator.integers(len(others)))] / f"{path.parent.name}-{path.name}")

    def change(self, part: Path, how: Callable[[Image.Image], Image.Image]) -> None:
        """Writes every photo anew."""
        for path in self.of(part):
            written = io.BytesIO()
            with Image.open(path) as image:
                how(image.convert("RGB")).save(written, "JPEG", quality=85)
            path.unlink()
            path.with_suffix(".jpg").write_bytes(written.getvalue())


def _nothing(photos: Photos) -> None:
    """As they are."""


def _four(photos: Photos) -> None:
    photos.keep(photos.train, photos.labels[photos.seed % len(photos.labels)], FEW)


def _swapped(photos: Photos) -> None:
    photos.swap(photos.train, SWAPPED)


def _swapped_everywhere(photos: Photos) -> None:
    for part in (photos.train, photos.test):
        photos.swap(part, SWAPPED)


def _dark(photos: Photos) -> None:
    def taken_badly(image: Image.Image) -> Image.Image:
        return ImageEnhance.Brightness(image).enhance(0.25).filter(ImageFilter.GaussianBlur(image.width / 60))

    photos.change(photos.test, taken_badly)


def _tiny(photos: Photos) -> None:
    def shrunk(image: Image.Image) -> Image.Image:
        factor = TINY_SIDE / min(image.size)
        return image.resize((max(round(image.width * factor), 1), max(round(image.height * factor), 1)))

    for part in (photos.train, photos.test):
        photos.change(part, shrunk)


def _leaked(photos: Photos) -> None:
    for path in photos.of(photos.test)[::2]:
        shutil.copy2(path, photos.train / path.parent.name / f"copy-of-{path.name}")


def _unbalanced(photos: Photos) -> None:
    by_size = sorted(photos.labels, key=lambda label: len(photos.of(photos.train, label)))
    for label in by_size[: -max(len(by_size) // 4, 1)]:
        photos.keep(photos.train, label, OUTNUMBERED)


def _one_as_two(photos: Photos) -> None:
    """Half of one label's photos get a name of their own: nothing tells the two apart."""
    label = max(photos.labels, key=lambda label: len(photos.of(photos.train, label)))
    for part in (photos.train, photos.test):
        (part / "something-else").mkdir()
        for path in photos.of(part, label)[::2]:
            path.rename(part / "something-else" / path.name)


def _few_tests(photos: Photos) -> None:
    for label in photos.labels:
        photos.keep(photos.test, label, 2)
    photos.parameters = ml.ModelParameters(tune="off", validation=ml.Validation.none())


def _short(photos: Photos) -> None:
    photos.parameters = ml.ModelParameters(tune="off", max_iterations=1)


def _shuffled(photos: Photos) -> None:
    for part in (photos.train, photos.test):
        photos.swap(part, 1.0 - 1.0 / len(photos.labels))


PLANTS: Mapping[str, tuple[Callable[[Photos], None], tuple[str, ...]]] = MappingProxyType(
    {
        "none": (_nothing, ("nothing", "confused_pair")),
        "a class of 4 photos": (_four, ("few_images",)),
        "20 % of the training labels swapped": (_swapped, ("wrong_labels",)),
        "20 % of all labels swapped": (_swapped_everywhere, ("sure_mistakes", "wrong_labels")),
        "test photos dark and blurred": (_dark, ("unlike_test_images",)),
        "photos of 32 pixels": (_tiny, ("small_images",)),
        "half of the test photos trained on": (_leaked, ("leaked_images",)),
        "12 photos of most classes": (_unbalanced, ("imbalance", "few_images")),
        "one class under two names": (_one_as_two, ("confused_pair",)),
        "2 test photos a class": (_few_tests, ("few_test_images",)),
        "1 iteration": (_short, ("iteration_limit",)),
        "labels at random": (_shuffled, ("no_better_than_guessing",)),
    }
)
"""By what is planted: how, and which rules are right about it, the best one first."""


def verdict_on(photos: Photos, session: Path, cache: Path) -> tuple[ml.Verdict, float]:
    """The verdict on a session trained as by default, and the seconds that the session took to give it."""
    where = ml.SessionParameters(session, cache=str(cache))
    data, test = (ml.DataSource.labeled_directories(part) for part in (photos.train, photos.test))
    ml.Classifier.train(data, photos.parameters, where, testing=test).result()
    began = time.perf_counter()
    return ml.advise(session), time.perf_counter() - began


def main(photos: str, seeds: int = SEEDS, only: str = "") -> None:
    """Measures."""
    names = [name for name in PLANTS if not only or name in only.split(",")]
    right, seconds = 0, list[float]()
    shown: dict[str, ml.Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="mlsession-advice-") as folder:
        print(f"{'planted':<42} {'verdicts':<58} right")
        for name in names:
            plant, accepted = PLANTS[name]
            found = []
            for seed in range(seeds):
                place = Path(folder) / f"{name}-{seed}".replace(" ", "-")
                copy = Photos(Path(photos), place, seed)
                plant(copy)
                verdict, took = verdict_on(copy, place / "session", Path(folder) / "cache")
                seconds.append(took)
                found.append(verdict.advice.rule)
                shown[name] = verdict
            hits = sum(rule in accepted for rule in found)
            right += hits
            told = ", ".join(f"{rule} x{found.count(rule)}" for rule in dict.fromkeys(found))
            print(f"{name:<42} {told:<58} {hits} of {seeds}", flush=True)
        took_them = f"{np.median(seconds):.3f} s, and at most {max(seconds):.3f} s"
        print(f"{right} of {seeds * len(names)} right; giving a verdict took {took_them}")
        for name, verdict in shown.items():
            print(f"\n[{name}]\n{str(verdict).replace(folder, '')}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="", help="names of limits, separated by commas")
    given = parser.parse_args()
    main(str(given.photos), given.seeds, given.only)
