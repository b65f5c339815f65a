"""Whether confidences mean what they say: of photos that neither the head nor its temperature has seen.

    python -m benchmarks.calibration PHOTOS [PHOTOS...] [--seeds 5]

Each folder has one sub-folder of photos for each class; they are taken together. For each seed and each of five folds,
heads are fitted to the other four as a session does it, a tenth of those held out for validation; the temperature is
fitted within what is left: on out-of-fold rows for logistic regression, on the images that early stopping holds out for
the perceptron. Then the fold, which was never looked at, is asked.

By head it prints means of the seeds, over the photos of all folds: accuracy, the temperature, and log loss and expected
calibration error (ECE, 15 bins) without the temperature (`before`) and with it (`after`). Beside that stands what
sessions would have printed of their validation images: the ECE, and the share of right answers less the mean
confidence, which of a calibrated head is 0 however few images there are; an ECE of few is never 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.feature_precision import EXACT, Rows, features_of
from mlsession.data.folds import FOLDS, fold_of
from mlsession.data.split import split_rows
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.fitting import begin_fit
from mlsession.heads.layer import softmax
from mlsession.heads.logistic.fit import l2_of
from mlsession.heads.moments import measure
from mlsession.heads.options import DEFAULT_STRENGTH, HeadOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.heads.protocol import Head
from mlsession.heads.temperature import fit_temperature
from mlsession.metrics.calibration import calibration_table, expected_calibration_error
from mlsession.phases.features import FeatureTable
from mlsession.phases.select import Selecting
from mlsession.phases.train import Training
from mlsession.phases.trained import chosen_of, temperature_of, trained_head
from mlsession.randomness import key_digest, keyed_generator
from mlsession.session.phase import Array

SEEDS = 5
ITERATIONS = 25
VALIDATION = 0.1

Fitted = tuple[Head, float]
"""A head, and the temperature that its logits were divided by."""
Fitting = Callable[[FeatureTable, tuple[str, ...], int], Fitted]
"""Of rows, the names of the classes, and a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Logits of some photos, before and after the temperature."""

    truth: Array
    before: Array
    after: Array

    def figures(self) -> list[float]:
        """Accuracy; log loss before and after; ECE before and after; accuracy less mean confidence after."""
        right = self.after.argmax(axis=1) == self.truth
        found = [float(right.mean())]
        for measure_of in (self._loss, self._error):
            found += [measure_of(logits) for logits in (self.before, self.after)]
        return [*found, float(right.mean() - softmax(self.after).max(axis=1).mean())]

    def _loss(self, logits: Array) -> float:
        return float(-np.log(softmax(logits)[np.arange(len(self.truth)), self.truth]).mean())

    def _error(self, logits: Array) -> float:
        confidence, right = softmax(logits).max(axis=1), logits.argmax(axis=1) == self.truth
        return expected_calibration_error(calibration_table(confidence, right))


def table_of(features: Array, labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8]) -> FeatureTable:
    """All photos, one row each, all of them to train on."""
    everything = np.ones(len(labels), dtype=np.bool_)
    return FeatureTable(
        features=features,
        labels=labels,
        image=np.arange(len(labels)),
        digests=digests,
        original=everything,
        training=everything,
        validation=~everything,
    )


def plain(table: FeatureTable, classes: tuple[str, ...], seed: int) -> Fitted:
    """Logistic regression with the default strength; T by five folds of the training rows."""
    rows = np.flatnonzero(table.training)
    folds = fold_of(table.labels[rows], rows, table.digests[rows], key_digest(seed, "calibration"))
    logits = np.zeros((len(rows), len(classes)), dtype=np.float32)
    for fold in range(FOLDS):
        head = _of_strength(table, rows[folds != fold], classes)
        logits[folds == fold] = head.logits(table.take(rows[folds == fold]).astype(np.float32))
    temperature = fit_temperature(logits, table.labels[rows])
    return _of_strength(table, rows, classes).tempered(temperature), temperature


def _of_strength(table: FeatureTable, rows: npt.NDArray[np.int64], classes: tuple[str, ...]) -> Head:
    given = Rows(features=table.take(rows), labels=table.labels[rows])
    with torch_numerics(1):
        fit = begin_fit(given, classes, LogisticRegressor(l2=l2_of(DEFAULT_STRENGTH, measure(given, classes))), 0)
        while not fit.converged and fit.iteration < ITERATIONS:
            fit = fit.advance(given)
        return fit.head()


def trained(options: HeadOptions) -> Fitting:
    """As the phases of a session do it."""

    def fit(table: FeatureTable, classes: tuple[str, ...], seed: int) -> Fitted:
        chosen = None
        if isinstance(options, LogisticRegressor):
            selecting = Selecting(lambda: table, classes, options, "cross-validation", seed, lambda: torch_numerics(1))
            *_, last = selecting.run(None)
            chosen = chosen_of(last.snapshot())
        training = Training(
            lambda: table, classes, options, seed, ITERATIONS, lambda: torch_numerics(1), lambda: chosen
        )
        *_, last = training.run(None)
        state = last.snapshot()
        return trained_head(state), temperature_of(state)

    return fit


HEADS: dict[str, Fitting] = {
    f"logistic, strength {DEFAULT_STRENGTH:g}": plain,
    "logistic, chosen": trained(LogisticRegressor()),
    "perceptron": trained(MultilayerPerceptron()),
}


def of_seed(
    table: FeatureTable, classes: tuple[str, ...], seed: int, fit: Fitting
) -> tuple[list[float], list[float], float]:
    """The figures of the photos in the folds that were not seen, of the validation images, and the mean temperature."""
    folds = fold_of(table.labels, table.image, table.digests, key_digest(seed, "calibration folds"))
    unseen: list[Answers] = []
    printed: list[Answers] = []
    temperatures = []
    for fold in range(FOLDS):
        others = np.flatnonzero(folds != fold)
        held_out = others[split_rows(table.labels[others], table.digests[others], VALIDATION, seed)]
        validation = np.isin(table.image, held_out)
        given = replace(table, training=(folds != fold) & ~validation, validation=validation)
        head, temperature = fit(given, classes, seed)
        temperatures.append(temperature)
        for found, rows in ((unseen, np.flatnonzero(folds == fold)), (printed, held_out)):
            logits = head.logits(table.take(rows).astype(np.float32))
            found.append(Answers(truth=table.labels[rows], before=logits * np.float32(temperature), after=logits))
    return joined(unseen).figures(), joined(printed).figures(), float(np.mean(temperatures))


def joined(parts: Sequence[Answers]) -> Answers:
    """Those of all parts."""
    return Answers(
        truth=np.concatenate([part.truth for part in parts]),
        before=np.concatenate([part.before for part in parts]),
        after=np.concatenate([part.after for part in parts]),
    )


def main(folders: Sequence[str], seeds: int = SEEDS) -> None:
    """Measures."""
    read = [features_of(folder, EXACT) for folder in folders]
    classes = read[0][0].classes
    features = to_half(np.concatenate([found for _, found in read]))
    labels = np.concatenate([index.labels for index, _ in read]).astype(np.int64)
    digests = keyed_generator(0, "contents").integers(0, 256, (len(labels), 32), dtype=np.uint8)
    table = table_of(features, labels, digests)
    print(f"{len(labels)} photos, {len(classes)} classes, {seeds} seeds, {FOLDS} folds")
    print(
        f"{'':23} accuracy     T  log loss before  after  ECE before  after  right - sure: fold  printed  ECE printed"
    )
    for name, fit in HEADS.items():
        runs = [of_seed(table, classes, seed, fit) for seed in range(seeds)]
        fold, printed = (np.mean([run[part] for run in runs], axis=0) for part in (0, 1))
        accuracy, loss, loss_after, error, error_after, gap = fold.tolist()
        temperature = float(np.mean([run[2] for run in runs]))
        print(
            f"{name:23} {accuracy:8.2%} {temperature:5.2f} {loss:16.4f} {loss_after:6.4f} {error:11.2%} "
            f"{error_after:6.2%} {gap:19.2%} {printed[5]:8.2%} {printed[4]:12.2%}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    main(given.photos, given.seeds)
