"""What storing features as float16 costs in accuracy: the same features in full and rounded, the same head, five seeds.

    python -m benchmarks.feature_precision TRAIN TEST

Both folders have one sub-folder of photos for each class. A seed leaves out a tenth of the training photos, so that
heads differ between seeds as they do between data sets; networks run in float32, so that nothing else is rounded.
Prints, by seed, how many test photos each head is right about and in how many they differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mlsession as ml
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.extractors.catalog import load_extractor
from mlsession.extractors.halves import to_half
from mlsession.extractors.runtime import Runtime
from mlsession.heads.fitting import begin_fit
from mlsession.heads.options import HeadOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.heads.protocol import Head
from mlsession.images.decode import prepare_image
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays

SEEDS = 5
BATCH = 64
ITERATIONS = 25
HEADS: tuple[HeadOptions, ...] = (LogisticRegressor(), MultilayerPerceptron())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """`TrainingRows` in memory."""

    features: Array
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self) -> Iterator[Arrays]:
        yield {"features": self.features, "labels": self.labels}

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        return {"features": self.features[places], "labels": self.labels[places]}


def features_of(folder: str) -> tuple[ImageIndex, npt.NDArray[np.float32]]:
    """The photos of a folder, and their features float32 [N, D]."""
    source = ml.DataSource.labeled_directories(folder)
    index, extractor = source.index(), load_extractor(ml.scene_print(), Runtime(backend="torch", precision="float32"))
    rows = []
    with closing(SourceReader(source.open)) as reader:
        for start in range(0, len(index), BATCH):
            keys = index.keys[start : start + BATCH]
            pictures = [prepare_image(reader.read(key), key, extractor.input_side) for key in keys]
            rows.append(extractor.extract(np.stack(pictures)))
    return index, np.concatenate(rows)


def fitted(rows: Rows, classes: tuple[str, ...], options: HeadOptions, seed: int) -> Head:
    """A head as training makes it."""
    fit = begin_fit(rows, classes, options, seed)
    while not fit.converged and fit.iteration < ITERATIONS:
        fit = fit.advance(rows)
    return fit.head()


def _unchanged(rows: Array) -> Array:
    return rows


def main(train: str, test: str, seeds: int = SEEDS) -> None:
    """Measures."""
    (index, known), (testing, asked) = features_of(train), features_of(test)
    labels, truth = index.labels.astype(np.int64), testing.labels.astype(np.int64)
    print(f"{len(index)} photos to train on, {len(testing)} to test, largest feature {known.max():.1f}")
    for options in HEADS:
        for seed in range(seeds):
            kept = keyed_generator(seed, "feature precision").random(len(labels)) >= 0.1
            said = []
            for convert in (_unchanged, to_half):
                rows = Rows(features=convert(known)[kept], labels=labels[kept])
                head = fitted(rows, index.classes, options, seed)
                said.append(head.probabilities(convert(asked).astype(np.float32)).argmax(axis=1))
            full, half = said
            print(
                f"{type(options).__name__:22} seed {seed}: float32 {(full == truth).sum()} right, float16 "
                f"{(half == truth).sum()} right, {(full != half).sum()} labels differ"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    given = parser.parse_args()
    main(str(given.train), str(given.test))
