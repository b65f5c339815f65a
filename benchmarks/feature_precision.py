"""What each way to compute and to store features costs in accuracy: the same photos, the same head, five seeds.

    python -m benchmarks.feature_precision TRAIN TEST

Both folders have one sub-folder of photos for each class. A seed leaves out a tenth of the training photos, so that
heads differ between seeds as they do between data sets. The reference is torch in float32, not rounded afterwards; the
others round to float16, as sessions store features. Prints the cosine of each way's features to the reference's and, by
seed, how many test photos each head is right about and in how many the two differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mlsession as ml
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.extractors.catalog import FeatureExtractorSpec, load_extractor
from mlsession.extractors.halves import to_half
from mlsession.extractors.running.runtime import Runtime
from mlsession.heads.fitting import begin_fit
from mlsession.heads.options import HeadOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.heads.protocol import Head
from mlsession.images.decode import prepare_image
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays

SEEDS = 5
BATCH = 64
EXACT = Runtime(backend="torch", precision="float32")
WAYS = (
    EXACT,
    Runtime(backend="torch", precision="bfloat16"),
    Runtime(backend="openvino", precision="float32"),
    Runtime(backend="openvino", precision="bfloat16"),
)
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

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        return np.arange(len(self))

    @property
    def is_grouped(self) -> bool:
        return False

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self), dtype=np.bool_)

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        return {"features": self.features[places], "labels": self.labels[places]}


def features_of(
    folder: str, runtime: Runtime, spec: FeatureExtractorSpec | None = None
) -> tuple[ImageIndex, npt.NDArray[np.float32]]:
    """The photos of a folder, and their features float32 [N, D]; None: those of the default extractor."""
    source = ml.DataSource.labeled_directories(folder)
    index, extractor = source.index(), load_extractor(spec or ml.scene_print(), runtime)
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


def cosines(rows: Array, reference: Array) -> npt.NDArray[np.float64]:
    """Of each row to the same one of the reference: float64 [N]."""
    one, other = rows.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine: npt.NDArray[np.float64] = (one * other).sum(axis=1) / lengths
    return cosine


def main(train: str, test: str, seeds: int = SEEDS, ways: Sequence[Runtime] = WAYS) -> None:
    """Measures."""
    (index, known), (testing, asked) = features_of(train, EXACT), features_of(test, EXACT)
    labels, truth = index.labels.astype(np.int64), testing.labels.astype(np.int64)
    print(f"{len(index)} photos to train on, {len(testing)} to test, largest feature {known.max():.1f}")
    subsets = [keyed_generator(seed, "feature precision").random(len(labels)) >= 0.1 for seed in range(seeds)]

    def answers(known: Array, asked: Array, options: HeadOptions) -> list[Array]:
        heads = (
            fitted(Rows(features=known[kept], labels=labels[kept]), index.classes, options, seed)
            for seed, kept in enumerate(subsets)
        )
        return [head.probabilities(asked.astype(np.float32)).argmax(axis=1) for head in heads]

    exact = {options: answers(known, asked, options) for options in HEADS}
    for way in ways:
        rows, queries = (to_half(features_of(folder, way)[1]) for folder in (train, test))
        near = cosines(np.concatenate([rows, queries]), np.concatenate([known, asked]))
        print(
            f"{way.backend} {way.precision}: cosine mean {near.mean():.5f}, 5th percentile "
            f"{np.percentile(near, 5):.5f}, least {near.min():.5f}"
        )
        for options in HEADS:
            said = answers(rows, queries, options)
            right = [
                f"{(one == truth).sum()}/{(full == truth).sum()}"
                for one, full in zip(said, exact[options], strict=True)
            ]
            differ = [int((one != full).sum()) for one, full in zip(said, exact[options], strict=True)]
            print(f"  {type(options).__name__:22} right/reference {' '.join(right)}; labels that differ {differ}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    given = parser.parse_args()
    main(str(given.train), str(given.test))
