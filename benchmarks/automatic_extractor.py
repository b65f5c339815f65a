"""Whether choosing the extractor pays: the default one, each other candidate, and `feature_extractor="auto"`.

    python -m benchmarks.automatic_extractor PHOTOS [PHOTOS...] [--seeds 5] [--wrong 0.0] [--candidates lite0,lite2]

Each folder has one sub-folder of photos for each class; they are taken together, and their features extracted once by
each candidate. For each seed and each of five folds every candidate is judged on the other four folds as the choosing
phase does it, and one of them kept by its rule; then logistic regression on its features, chosen and trained as a
session does it, is asked about the fold, which was never looked at. `--wrong` as in `benchmarks.automatic`.

By extractor it prints means of the seeds, over the photos of all folds: accuracy, log loss, seconds to extract all
photos, and how often "auto" kept it. Then, over all photos, the accuracy of each less that of the first candidate, and
the standard error of that, of means over the seeds, one for each photo.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.automatic import SEEDS, Answers, mislabelled, of_seed
from benchmarks.calibration import table_of
from benchmarks.feature_precision import features_of
from mlsession.data.folds import FOLDS, fold_of
from mlsession.extractors.catalog import NAMES, runtime_for
from mlsession.extractors.embedded.extractor import EmbeddedExtractor, Lite1, ScenePrint
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.paired import paired_difference
from mlsession.heads.selecting.path import Path
from mlsession.phases.features import FeatureTable
from mlsession.phases.folding import Folding
from mlsession.randomness import key_digest, keyed_generator
from mlsession.session.phase import Array

WHAT = ("right", "losses")
EVERY = (ScenePrint(), Lite1(), ScenePrint(revision=1))


def judged(table: FeatureTable, classes: tuple[str, ...], seed: int) -> Array:
    """bool [judged]: which images heads get right that were not fitted to them, at the best penalty."""
    folding = Folding(classes=classes, tune="cross-validation", seed=seed)
    folds = folding.of_images(table)
    assert folds is not None, "too few photos"
    with torch_numerics(1):
        path = Path.begin(folding.rows(table, folds), classes, LogisticRegressor())
        while not path.is_done:
            path = path.advance()
        return path.outcome().right


def kept_in_fold(tables: Sequence[FeatureTable], classes: tuple[str, ...], seed: int) -> int:
    """The place of the candidate that is kept: see `phases.choose`."""
    kept, best = 0, judged(tables[0], classes, seed)
    for place, table in enumerate(tables[1:], start=1):
        right = judged(table, classes, seed)
        if paired_difference(best, right).is_better:
            kept, best = place, right
    return kept


def main(
    folders: Sequence[str],
    seeds: int = SEEDS,
    wrong: float = 0.0,
    candidates: Sequence[EmbeddedExtractor] = EVERY,
) -> None:
    """Measures."""
    tables, seconds = list[FeatureTable](), list[float]()
    for spec in candidates:
        began = perf_counter()
        read = [features_of(folder, runtime_for(spec), spec) for folder in folders]
        seconds.append(perf_counter() - began)
        classes = read[0][0].classes
        truth = np.concatenate([index.labels for index, _ in read]).astype(np.int64)
        digests = keyed_generator(0, "contents").integers(0, 256, (len(truth), 32), dtype=np.uint8)
        table = table_of(to_half(np.concatenate([found for _, found in read])), truth, digests)
        tables.append(replace(table, labels=mislabelled(truth, len(classes), wrong)))
    print(f"{len(truth)} photos, {len(classes)} classes, {wrong:.0%} of labels wrong, {seeds} seeds, {FOLDS} folds")
    names, options = [spec.name for spec in candidates], LogisticRegressor()
    found = {
        name: [of_seed(table, truth, classes, seed, options) for seed in range(seeds)]
        for name, table in zip(names, tables, strict=True)
    }
    kept = np.zeros((seeds, FOLDS), dtype=np.int64)
    automatic = list[Answers]()
    for seed in range(seeds):
        folds = fold_of(truth, tables[0].image, tables[0].digests, key_digest(seed, "automatic folds"))
        for fold in range(FOLDS):
            kept[seed, fold] = kept_in_fold([replace(each, training=folds != fold) for each in tables], classes, seed)
        of_each = [found[name][seed] for name in names]
        right, losses = (np.choose(kept[seed][folds], [getattr(each, what) for each in of_each]) for what in WHAT)
        automatic.append(Answers(right=right.astype(np.bool_), losses=losses, seconds=0.0, kept=0.0))
    print(f"{'':14} accuracy  log loss  seconds   kept")
    for place, (name, runs) in enumerate([*found.items(), ("auto", automatic)]):
        accuracy, loss = np.mean([run.right for run in runs]), np.mean([run.losses for run in runs])
        took, share = (seconds[place], f"{np.mean(kept == place):.0%}") if place < len(names) else (sum(seconds), "")
        print(f"{name:14} {accuracy:8.2%} {loss:9.4f} {took:8.1f} {share:>6}", flush=True)
    for name, runs in [*list(found.items())[1:], ("auto", automatic)]:
        pairs = zip(runs, found[names[0]], strict=True)
        apart = np.mean([one.right.astype(float) - other.right for one, other in pairs], axis=0)
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        print(f"{name} less {names[0]}: {100 * apart.mean():+.2f} points, standard error {100 * error:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--wrong", type=float, default=0.0, help="Share of wrong labels.")
    parser.add_argument("--candidates", default="", help="Names, the first to beat; all three by default.")
    asked = parser.parse_args()
    named = [NAMES[name] for name in asked.candidates.split(",") if name]
    main(asked.photos, asked.seeds, asked.wrong, named or EVERY)
