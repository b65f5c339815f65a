"""What choosing a penalty loses where not all five folds are judged, and what that saves.

    python -m benchmarks.judged_folds PHOTOS [--images 5000] [--draws 5]

The features of the photos say how features vary: along the directions that hold nearly all their variance, by a normal
distribution with their deviations. Classes are shifted along the first of these, by more or less of the deviation. From
each such population images are drawn to train on; the penalty is chosen with all folds judged, and with no more than
until so many images are as a session judges; both heads are then trained as a session does, and asked for 10,000 fresh
images. Prints a row for each population, means of the draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import numpy.typing as npt

from benchmarks.calibration import ITERATIONS, table_of
from benchmarks.feature_precision import EXACT, features_of
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.selecting.path import Path
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import ENOUGH_JUDGED, Folding
from mlsession.phases.train import Training
from mlsession.phases.trained import trained_head
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array

CLASSES = (2, 10, 40)
SHIFTS = (0.25, 0.45, 0.8)
"""How far apart classes lie, in deviations of the features along each direction."""
DIRECTIONS, SHIFTED = 300, 60
NOISE = 0.05
"""Deviation of what the directions leave."""
FRESH = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variation:
    """How features vary."""

    mean: Array
    """float64 [D]."""
    directions: Array
    """float64 [d, D], orthonormal."""
    deviations: Array
    """float64 [d]."""

    @classmethod
    def of(cls, features: npt.NDArray[np.float32]) -> Variation:
        """Of these, [N, D]."""
        mean = features.mean(axis=0, dtype=np.float64)
        _, lengths, directions = np.linalg.svd(features - mean, full_matrices=False)
        deviations = lengths[:DIRECTIONS] / np.sqrt(len(features))
        return cls(mean=mean, directions=directions[:DIRECTIONS], deviations=deviations)

    def drawn(self, count: int, classes: int, shift: float, draw: int, part: str) -> tuple[Array, Array]:
        """float32 [count, D] and int64 [count]: images of the population of a draw, the classes in turn."""
        centres = keyed_generator(draw, "centres", classes).normal(size=(classes, len(self.deviations)))
        centres[:, SHIFTED:] = 0
        generator, labels = keyed_generator(draw, part, classes, str(shift)), np.arange(count) % classes
        along = (generator.normal(size=(count, len(self.deviations))) + shift * centres[labels]) * self.deviations
        rest = NOISE * generator.normal(size=(count, len(self.mean)))
        return (self.mean + along @ self.directions + rest).astype(np.float32), labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a choice."""

    strength: float | None
    seconds: float
    """CPU seconds of choosing."""
    log_loss: float
    accuracy: float


def answer(table: FeatureTable, classes: int, enough: int, fresh: tuple[Array, Array], draw: int) -> Answer:
    """The penalty chosen by folds until `enough` images are judged, and the head trained with it."""
    names = tuple(str(name) for name in range(classes))
    folding = Folding(classes=names, tune="cross-validation", seed=draw, enough=enough)
    folds = folding.of_images(table)
    if folds is None:
        raise ValueError("too few images to choose on")
    with torch_numerics(1):
        began = process_time()
        path = Path.begin(folding.rows(table, folds), names, LogisticRegressor())
        while not path.is_done:
            path = path.advance()
        seconds, chosen = process_time() - began, path.chosen()
    settings = (lambda: table, names, LogisticRegressor(), draw, ITERATIONS, lambda: torch_numerics(1), lambda: chosen)
    *_, last = Training(*settings).run(None)
    features, labels = fresh
    probabilities = trained_head(last.snapshot()).probabilities(features)
    return Answer(
        strength=chosen.strength,
        seconds=seconds,
        log_loss=-float(np.log(probabilities[np.arange(len(labels)), labels]).mean()),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
    )


def measured(
    variation: Variation, classes: int, shift: float, images: int, draws: int, enough: int
) -> tuple[list[Answer], list[Answer]]:
    """All folds judged, and until `enough` images are; an answer for each draw."""
    every, few = [], []
    for draw in range(draws):
        features, labels = variation.drawn(images, classes, shift, draw, "training")
        digests = keyed_generator(draw, "contents").integers(0, 256, (images, 32), dtype=np.uint8)
        table = table_of(to_half(features), labels, digests)
        fresh = variation.drawn(FRESH, classes, shift, draw, "fresh")
        every.append(answer(table, classes, images, fresh, draw))
        few.append(answer(table, classes, enough, fresh, draw))
    return every, few


def row(every: Sequence[Answer], few: Sequence[Answer]) -> str:
    """What is printed of a population: with all folds judged, and how the other answers differ."""
    right, loss = (
        np.array([[getattr(answer, name) for answer in pair] for pair in zip(every, few, strict=True)])
        for name in ("accuracy", "log_loss")
    )
    more_right, more_loss = right[:, 1] - right[:, 0], loss[:, 1] - loss[:, 0]
    alike = np.mean([one.strength == other.strength for one, other in zip(every, few, strict=True)])
    seconds = [np.mean([answer.seconds for answer in answers]) for answers in (every, few)]
    return (
        f"{right[:, 0].mean():.2%} {100 * more_right.mean():+.3f} {100 * more_right.min():+6.2f}  "
        f"{loss[:, 0].mean():.4f} {more_loss.mean():+.5f} {more_loss.max():+.5f}"
        f"{alike:17.0%}  {seconds[0]:.2f} -> {seconds[1]:.2f}"
    )


def main(
    photos: str, images: int = 5000, draws: int = 5, classes: Sequence[int] = CLASSES, enough: int = ENOUGH_JUDGED
) -> None:
    """Measures."""
    variation = Variation.of(features_of(photos, EXACT)[1])
    print(f"{images:,} images, {draws} draws; all judged, and until {enough:,} are")
    print("classes  shift  accuracy        worst  log loss         most   strengths alike  CPU s of choosing")
    for count in classes:
        for shift in SHIFTS:
            every, few = measured(variation, count, shift, images, draws, enough)
            print(f"{count:7}  {shift:5}  {row(every, few)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--draws", type=int, default=5)
    asked = parser.parse_args()
    main(asked.photos, asked.images, asked.draws)
