"""Whether choosing the views to train on pays: no views, all of them, and those that `augmentation="auto"` keeps.

    python -m benchmarks.automatic_views PHOTOS [--seeds 3] [--per-class 10 40 0] [--options crop flip ...]

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label; all are taken together, and extracted
once with the views of all candidates. Each seed takes so many photos of each class to train on (0: three quarters of
them), chooses views and penalty on these as a session does it, trains, and asks about all others.

By number of photos and by choice it prints accuracy and log loss on the photos that were not trained on, means over the
seeds; accuracy and log loss less those without views, with the standard error over the seeds; seconds to choose and to
train; and of the automatic choice what it kept, and how many heads it fitted. `best` is what it found best before it
asked whether that is surely better: what it would have kept without its rule.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from benchmarks.calibration import ITERATIONS
from benchmarks.merged import merged
from mlsession.augment.automatic import AutomaticAugmentation
from mlsession.augment.options import NAMES
from mlsession.augment.views import ViewPlan
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.chosen import Chosen
from mlsession.heads.layer import softmax
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.features import FeatureTable
from mlsession.phases.select import Selecting
from mlsession.phases.train import Training
from mlsession.phases.trained import chosen_of, trained_head
from mlsession.randomness import keyed_generator

SEEDS = 3
PER_CLASS = (10, 40, 0)
CHOICES = ("none", "all", "automatic", "best")
OPTIONS = LogisticRegressor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one choice and seed, on the photos that were not trained on."""

    accuracy: float
    log_loss: float
    seconds: float
    """To choose and to train."""
    words: str = ""
    """Views that were kept, and heads that were fitted to find them."""


def drawn(labels: npt.NDArray[np.int64], per_class: int, seed: int) -> npt.NDArray[np.int64]:
    """The places of the photos to train on: so many of each class, or three quarters of it."""
    generator, chosen = keyed_generator(seed, "photos to train on", str(per_class)), list[npt.NDArray[np.int64]]()
    for label in np.unique(labels):
        places = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(places[: per_class or round(0.75 * len(places))])
    return np.concatenate(chosen)


def chosen_on(table: FeatureTable, classes: tuple[str, ...], seed: int, views: ViewPlan | None) -> Chosen:
    """What the selecting phase chooses on the training rows of a table."""
    tune, numerics = "cross-validation", lambda: torch_numerics(1)
    *_, last = Selecting(lambda: table, classes, OPTIONS, tune, seed, numerics, views=views).run(None)
    found = chosen_of(last.snapshot())
    assert found is not None
    return found


def answers(
    table: FeatureTable, classes: tuple[str, ...], plan: ViewPlan, seed: int, choice: str, best: tuple[str, ...]
) -> tuple[Answers, Chosen]:
    """What a head says of the photos that it was not trained on; `best` are the views of that choice."""
    given = {
        "none": table.of_views((0,)),
        "all": table,
        "automatic": table,
        "best": table.of_views(plan.views_of(best)),
    }
    rows, began = given[choice], perf_counter()
    chosen = chosen_on(rows, classes, seed, plan if choice == "automatic" else None)
    words = ""
    if chosen.views is not None:
        rows = rows.of_views(plan.views_of(chosen.views.kept))
        words = f"{'+'.join(chosen.views.kept) or 'none'} ({chosen.views.fits} fits)"
    training = Training(lambda: rows, classes, OPTIONS, seed, ITERATIONS, lambda: torch_numerics(1), lambda: chosen)
    *_, last = training.run(None)
    seconds, head = perf_counter() - began, trained_head(last.snapshot())
    asked = np.flatnonzero(table.original & ~np.isin(table.image, table.image[table.training]))
    truth, shares = table.labels[asked], softmax(head.logits(table.take(asked).astype(np.float32)))
    losses = -np.log(shares[np.arange(len(asked)), truth])
    accuracy = float((shares.argmax(axis=1) == truth).mean())
    return Answers(accuracy=accuracy, log_loss=float(losses.mean()), seconds=seconds, words=words), chosen


def of_seed(
    table: FeatureTable, classes: tuple[str, ...], plan: ViewPlan, per_class: int, seed: int
) -> dict[str, Answers]:
    """By choice."""
    images = drawn(table.labels[table.original], per_class, seed)
    given = replace(table, training=np.isin(table.image, images))
    found, best = dict[str, Answers](), tuple[str, ...]()
    for choice in CHOICES:
        found[choice], chosen = answers(given, classes, plan, seed, choice, best)
        if chosen.views is not None and chosen.views.best is not None:
            best = chosen.views.best.views
    return found


def _line(name: str, runs: Sequence[Answers], plain: Sequence[Answers]) -> str:
    accuracy, loss = np.array([run.accuracy for run in runs]), np.array([run.log_loss for run in runs])
    apart = 100 * (accuracy - np.array([run.accuracy for run in plain]))
    lower = loss - np.array([run.log_loss for run in plain])
    errors = [each.std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0.0 for each in (apart, lower)]
    means = f"{accuracy.mean():8.2%} {loss.mean():9.4f}"
    differences = f"{apart.mean():+6.2f} +- {errors[0]:.2f} {lower.mean():+8.4f} +- {errors[1]:.4f}"
    return f"  {name:10} {means}  {differences} {np.mean([run.seconds for run in runs]):8.1f}"


def main(photos: str, seeds: int = SEEDS, per_class: Sequence[int] = PER_CLASS, options: Sequence[str] = NAMES) -> None:
    """Measures."""
    augmentation = AutomaticAugmentation(options=options)
    plan = ViewPlan(options=augmentation.candidates)
    with merged(Path(photos), augmentation, "cross-validation") as (table, classes, _, _):
        print(f"{len(table.digests)} photos, {len(classes)} classes, {len(plan) - 1} views of each, {seeds} seeds")
        for count in per_class:
            found = [of_seed(table, classes, plan, count, seed) for seed in range(seeds)]
            print(f"{count} photos a class" if count else "three quarters of the photos")
            print(f"  {'':10} accuracy  log loss  points to none  log loss to none  seconds")
            for choice in CHOICES:
                print(_line(choice, [each[choice] for each in found], [each["none"] for each in found]), flush=True)
            print("  kept: " + "; ".join(each["automatic"].words for each in found), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--per-class", type=int, nargs="+", default=PER_CLASS)
    parser.add_argument("--options", nargs="+", default=NAMES, help="What to choose from.")
    asked = parser.parse_args()
    main(asked.photos, asked.seeds, asked.per_class, asked.options)
