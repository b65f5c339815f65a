"""What averaging a prediction over views is worth, and what it costs.

    python -m benchmarks.averaged_views PHOTOS [--seeds N]

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label; all are taken together, and each seed
holds a quarter of each label out. Heads are fitted to the others: to the photos, and to the photos with their mirror
images. Prints accuracy, log loss and expected calibration error on the photos held out, means over the seeds, with the
standard error of the difference in accuracy to no averaging; and the processor time of a prediction.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import mlsession as ml
from benchmarks.learning_curve import drawn
from benchmarks.merged import merged
from mlsession.curves.measured import Material, PartRows, fitted
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.features import FeatureTable
from mlsession.session.phase import Array

PLACES = {"none": (0,), "flip": (0, 5), "crop": (0, 1, 2, 3, 4), "crop,flip": (0, 1, 2, 3, 4, 5)}
"""Views by choice: crops are 1 to 4, as options go by name."""
BINS = 15
PREDICTED = 40
"""Photos that the time is taken of."""


def scores(said: Array, labels: Array) -> tuple[float, float, float]:
    """Accuracy, log loss, expected calibration error over bins of equal width."""
    best, share = said.argmax(axis=1), said.max(axis=1)
    right = best == labels
    loss = -np.log(np.maximum(said[np.arange(len(labels)), labels], 1e-15)).mean()
    bins = np.minimum((share * BINS).astype(int), BINS - 1)
    away = np.bincount(bins, weights=right - share, minlength=BINS)
    return float(right.mean()), float(loss), float(np.abs(away).sum() / len(labels))


def measured(table: FeatureTable, classes: tuple[str, ...], seed: int) -> dict[tuple[str, str], tuple[float, ...]]:
    """Scores by what was trained on and what was averaged over."""
    views = int(len(table.labels) / len(table.digests))
    labels = table.labels[table.original]
    held = drawn(labels, 0.25, "held out", seed)
    others = np.setdiff1d(np.arange(len(labels)), held)
    features = table.features.reshape(len(labels), views, -1)[held].astype(np.float32)
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for trained, places in (("photos", (0,)), ("photos, flip", (0, 5))):
        rows = np.flatnonzero(np.isin(np.arange(len(table.labels)) % views, places))
        material = Material(
            table=table, rows=rows, image=table.image[rows], labels=labels, digests=table.digests, classes=classes
        )
        head = fitted(PartRows(material, others), classes, LogisticRegressor(), None)
        for name, chosen in PLACES.items():
            flat = features[:, list(chosen)].reshape(len(held) * len(chosen), -1)
            said = head.probabilities(flat).reshape(len(held), len(chosen), -1).mean(axis=1)
            found[trained, name] = scores(said, labels[held])
    return found


def cost(classifier: ml.Classifier, photos: list[Path], views: str | None) -> float:
    """Milliseconds of processor time an image."""
    names = None if views is None else views.split(",")
    classifier.predict(photos[0], average_views=names)
    begun = time.process_time()
    for photo in photos:
        classifier.predict(photo, average_views=names)
    return 1_000 * (time.process_time() - begun) / len(photos)


def main(photos: str, seeds: int = 5) -> None:
    """See above."""
    with merged(Path(photos), {"crop", "flip"}) as (table, classes, classifier, folder):
        with torch_numerics(1):
            every = [measured(table, classes, seed) for seed in range(seeds)]
        held = len(drawn(table.labels[table.original], 0.25, "held out", 0))
        print(f"{len(table.digests)} photos, {held} held out, {seeds} seeds")
        print("trained on     averaged    accuracy  difference        log loss     ECE")
        for trained, name in every[0]:
            found = np.array([each[trained, name] for each in every])
            plain = np.array([each[trained, "none"] for each in every])
            away = 100 * (found - plain)[:, 0]
            error = away.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else 0.0
            accuracy, loss, calibration = found.mean(axis=0)
            difference = f"{away.mean():+.2f} +- {error:.2f}" if name != "none" else ""
            print(
                f"{trained:<14} {name:<10} {100 * accuracy:>7.2f} %  {difference:<15} {loss:>9.4f} {calibration:>7.4f}"
            )
        some = sorted(folder.rglob("*.*"))[:: max(len(list(folder.rglob("*.*"))) // PREDICTED, 1)][:PREDICTED]
        times = {name: cost(classifier, some, None if name == "none" else name) for name in PLACES}
        print("processor time an image: " + ", ".join(f"{name} {spent:.0f} ms" for name, spent in times.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What averaging over views is worth, and what it costs.")
    parser.add_argument("photos")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    main(given.photos, given.seeds)
