"""Whether choosing the kind of classifier pays: logistic regression, a perceptron, and `AutomaticClassifier`.

    python -m benchmarks.automatic PHOTOS [PHOTOS...] [--seeds 5] [--wrong 0.2]

Each folder has one sub-folder of photos for each class; they are taken together, and their features extracted once.
For each seed and each of five folds a classifier is chosen and trained on the other four as a session does it; then the
fold, which was never looked at, is asked. `--wrong` gives so many of the photos that are learned from another label.

By classifier it prints means of the seeds, over the photos of all folds: accuracy, log loss, seconds to choose and
train one classifier, and how often a perceptron was kept. Then, over all photos, the accuracy of the other two less
that of logistic regression, and the standard error of that, of means over the seeds, one for each photo.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from benchmarks.calibration import ITERATIONS, table_of
from benchmarks.feature_precision import EXACT, features_of
from mlsession.data.folds import FOLDS, fold_of
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.layer import softmax
from mlsession.heads.options import AutomaticClassifier, ClassifierOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.heads.protocol import Head
from mlsession.phases.features import FeatureTable
from mlsession.phases.select import Selecting
from mlsession.phases.train import Training
from mlsession.phases.trained import chosen_of, trained_head
from mlsession.randomness import key_digest, keyed_generator
from mlsession.session.phase import Array

SEEDS = 5
CLASSIFIERS: dict[str, ClassifierOptions] = {
    "logistic": LogisticRegressor(),
    "perceptron": MultilayerPerceptron(),
    "automatic": AutomaticClassifier(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one seed, over all photos."""

    right: npt.NDArray[np.bool_]
    losses: Array
    """float64 [N], nats."""
    seconds: float
    """Of one fold, to choose and to train."""
    kept: float
    """The share of the folds whose classifier is a perceptron."""


def of_seed(
    table: FeatureTable, truth: npt.NDArray[np.int64], classes: tuple[str, ...], seed: int, options: ClassifierOptions
) -> Answers:
    """What classifiers say of the fold that they have not seen; `truth` int64 [N] are the labels to be judged by."""
    folds = fold_of(truth, table.image, table.digests, key_digest(seed, "automatic folds"))
    right, losses = np.zeros(len(truth), dtype=np.bool_), np.zeros(len(truth))
    kept, seconds = 0, 0.0
    for fold in range(FOLDS):
        given = replace(table, training=folds != fold)
        began = perf_counter()
        head = _trained(given, classes, seed, options)
        seconds += perf_counter() - began
        kept += head.kind == "multilayer_perceptron"
        rows = np.flatnonzero(folds == fold)
        shares = softmax(head.logits(table.take(rows).astype(np.float32)))
        right[rows] = shares.argmax(axis=1) == truth[rows]
        losses[rows] = -np.log(shares[np.arange(len(rows)), truth[rows]])
    return Answers(right=right, losses=losses, seconds=seconds / FOLDS, kept=kept / FOLDS)


def _trained(table: FeatureTable, classes: tuple[str, ...], seed: int, options: ClassifierOptions) -> Head:
    chosen = None
    if not isinstance(options, MultilayerPerceptron):
        selecting = Selecting(lambda: table, classes, options, "cross-validation", seed, lambda: torch_numerics(1))
        *_, last = selecting.run(None)
        chosen = chosen_of(last.snapshot())
    training = Training(lambda: table, classes, options, seed, ITERATIONS, lambda: torch_numerics(1), lambda: chosen)
    *_, last = training.run(None)
    return trained_head(last.snapshot())


def mislabelled(labels: npt.NDArray[np.int64], classes: int, share: float) -> npt.NDArray[np.int64]:
    """About this share of the labels replaced by one of the other classes."""
    generator = keyed_generator(0, "wrong labels")
    shift = generator.integers(1, classes, len(labels))
    return np.where(generator.random(len(labels)) < share, (labels + shift) % classes, labels)


def main(folders: Sequence[str], seeds: int = SEEDS, wrong: float = 0.0) -> None:
    """Measures."""
    read = [features_of(folder, EXACT) for folder in folders]
    classes = read[0][0].classes
    truth = np.concatenate([index.labels for index, _ in read]).astype(np.int64)
    digests = keyed_generator(0, "contents").integers(0, 256, (len(truth), 32), dtype=np.uint8)
    table = table_of(to_half(np.concatenate([found for _, found in read])), truth, digests)
    table = replace(table, labels=mislabelled(truth, len(classes), wrong))
    print(f"{len(truth)} photos, {len(classes)} classes, {wrong:.0%} of labels wrong, {seeds} seeds, {FOLDS} folds")
    print(f"{'':12} accuracy  log loss  seconds  perceptron kept")
    found: dict[str, list[Answers]] = {}
    for name, options in CLASSIFIERS.items():
        found[name] = runs = [of_seed(table, truth, classes, seed, options) for seed in range(seeds)]
        accuracy, loss = np.mean([run.right for run in runs]), np.mean([run.losses for run in runs])
        seconds, kept = np.mean([run.seconds for run in runs]), np.mean([run.kept for run in runs])
        print(f"{name:12} {accuracy:8.2%} {loss:9.4f} {seconds:8.1f} {kept:16.0%}", flush=True)
    for name in ("perceptron", "automatic"):
        pairs = zip(found[name], found["logistic"], strict=True)
        apart = np.mean([one.right.astype(float) - other.right for one, other in pairs], axis=0)
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        print(f"{name} less logistic: {100 * apart.mean():+.2f} points, standard error {100 * error:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--wrong", type=float, default=0.0, help="Share of wrong labels.")
    asked = parser.parse_args()
    main(asked.photos, asked.seeds, asked.wrong)
