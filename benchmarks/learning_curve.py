"""What a learning curve expects of more photos, against what they bring.

    python -m benchmarks.learning_curve PHOTOS [--visible SHARE] [--draws N] [--truths N]

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label; all are taken together. A draw keeps a
SHARE of each label visible, hides the others, and projects from what is visible. The truth is the mean accuracy of N
heads fitted to as many photos, drawn from all of them, on the photos that they have not seen. Prints for each number of
photos the mean of what was expected, the truth, the mean error, and how many of the 90 % intervals hold the truth;
of the accuracy itself, and of the gain over the visible photos.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.merged import merged
from mlsession.curves.curve import Estimate, Projection
from mlsession.curves.measured import Material, PartRows, asked, fitted, judge
from mlsession.curves.power import FARTHEST
from mlsession.curves.projected import accuracy_laws, projections, resampled
from mlsession.curves.splits import turns_for
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.features import FeatureTable
from mlsession.randomness import keyed_generator

Places = npt.NDArray[np.int64]
LEFT = 60
"""Photos that are left to measure the truth on, at least."""


def drawn(labels: Places, share: float, *what: str | int) -> Places:
    """Places of a share of each label, ascending."""
    chosen = []
    for label in np.unique(labels).tolist():
        mine = np.flatnonzero(labels == label)
        order = keyed_generator(0, "learning curve benchmark", label, *what).permutation(len(mine))
        chosen.append(mine[order[: max(round(share * len(mine)), 2)]])
    return np.sort(np.concatenate(chosen))


def material_of(table: FeatureTable, classes: tuple[str, ...], images: Places) -> Material:
    """Some images, without views."""
    rows = np.flatnonzero(table.original)[images]
    return Material(
        table=table,
        rows=rows,
        image=np.arange(len(rows)),
        labels=table.labels[rows],
        digests=table.digests[images],
        classes=classes,
    )


def true_accuracy(everything: Material, count: int, truths: int) -> float:
    """Of heads fitted to `count` photos, on all others."""
    found = []
    for number in range(truths):
        part = drawn(everything.labels, count / len(everything), "truth", count, number)
        head = fitted(PartRows(everything, part), everything.classes, LogisticRegressor(), None)
        others = np.setdiff1d(np.arange(len(everything)), part)
        found.append(asked(head, everything, others)[0].mean())
    return float(np.mean(found))


def told(name: str, estimates: list[Estimate], truths: list[float]) -> str:
    """A line of the table."""
    away = [abs(each.value - truth) for each, truth in zip(estimates, truths, strict=True)]
    held = sum(each.low <= truth <= each.high for each, truth in zip(estimates, truths, strict=True))
    width = float(np.mean([each.high - each.low for each in estimates]))
    means = f"{100 * np.mean([each.value for each in estimates]):8.2f} {100 * np.mean(truths):8.2f}"
    return f"{name:<22} {means} {100 * np.mean(away):8.2f}    {held} of {len(estimates)}  {100 * width:8.2f}"


def main(photos: str, visible: float = 0.2, draws: int = 12, truths: int = 12, left: int = LEFT) -> None:
    """See above; `left`: see `LEFT`."""
    with merged(Path(photos)) as (table, classes, _, _), torch_numerics(1):
        everything = material_of(table, classes, np.arange(len(table.digests)))
        expected: list[Mapping[float, Projection]] = []
        begun, count = time.process_time(), 0
        for number in range(draws):
            shown = material_of(table, classes, drawn(everything.labels, visible, "visible", number))
            count = len(shown)
            said = judge(shown, LogisticRegressor(), None, turns_for(count), number)
            laws = accuracy_laws(said, resampled(said, len(classes), number))
            now, found = projections(laws, count, FARTHEST * count)
            first = Projection(factor=1.0, images=count, accuracy=now, gain=now)
            expected.append({each.factor: each for each in (first, *found) if each.images <= len(everything) - left})
        cost = (time.process_time() - begun) / draws
        print(f"{count} of {len(everything)} photos visible, {draws} draws, {cost:.1f} s of one processor each")
        print(f"{'':<22} expected    truth      off  intervals     width")
        now_truth = true_accuracy(everything, count, truths)
        for factor in expected[0]:
            truth = true_accuracy(everything, round(factor * count), truths)
            here = [each[factor] for each in expected]
            print(told(f"accuracy at {factor:g}x", [each.accuracy for each in here], [truth] * draws))
            if factor > 1:
                print(told(f"gain of {factor:g}x", [each.gain for each in here], [truth - now_truth] * draws))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a learning curve expects, against what more photos bring.")
    parser.add_argument("photos")
    parser.add_argument("--visible", type=float, default=0.2)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--truths", type=int, default=12)
    given = parser.parse_args()
    main(given.photos, given.visible, given.draws, given.truths)
