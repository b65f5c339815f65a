"""What fine-tuning gains over the classifier alone, and how long it takes.

    python -m benchmarks.finetuning PHOTOS [--test SHARE] [--seeds 3] [--epochs 5] [--learning-rate R]
        [--precision auto] [--each 0]

PHOTOS is a folder with one sub-folder of photos for each class, or with two of these, `train` and `test`, which are
taken together. For each seed a share of each class is set aside as test photos, and a session trained on the others,
with and without fine-tuning; a fifth of them are held out to validate on, so that the comparison of the session itself
is not decided by a handful. `--each` takes so many photos of a class.

By seed it prints the accuracy and log loss on the test photos of the classifier alone and of the tuned network, whether
that would have been kept, and seconds of the phases. Then means, and the standard error of the gain over the seeds.
"""

from __future__ import annotations

import argparse
import math
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import cast

import mlsession as ml
from mlsession.events import PhaseFinished, PhaseStarted
from mlsession.extractors.running.runtime import PrecisionChoice
from mlsession.metrics.report import ClassifierMetrics
from mlsession.randomness import keyed_generator
from mlsession.training.algorithms import Algorithm
from mlsession.training.findings.summary import SessionSummary

VALIDATION = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one session."""

    test: ClassifierMetrics
    seconds: dict[str, float]
    """By phase."""
    comparison: str
    """In words; "" without fine-tuning."""


def divided(photos: Path, target: Path, share: float, each: int, seed: int) -> tuple[Path, Path]:
    """Folders of links to the photos to train and to test on."""
    parts = [photos / name for name in ("train", "test") if (photos / name).is_dir()] or [photos]
    for name in sorted({path.name for part in parts for path in part.iterdir() if path.is_dir()}):
        files = sorted(path for part in parts for path in (part / name).iterdir() if path.is_file())
        order = keyed_generator(seed, "test photos", name).permutation(len(files))[: each or None]
        count = max(round(share * len(order)), 1)
        for part, chosen in (("test", order[:count]), ("train", order[count:])):
            (target / part / name).mkdir(parents=True)
            for place in chosen:
                found = files[place]
                (target / part / name / f"{place:05}{found.suffix}").symlink_to(found.resolve())
    return target / "train", target / "test"


def outcome(
    train: Path, test: Path, session: Path, algorithm: Algorithm, seed: int, precision: PrecisionChoice
) -> Outcome:
    """Trains a session."""
    validation = ml.Validation.split(VALIDATION, seed=seed)
    parameters = ml.ModelParameters(algorithm=algorithm, seed=seed, validation=validation, precision=precision)
    where = ml.SessionParameters(session, cache=str(session.parent / "cache"))
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(train), parameters, where, testing=ml.DataSource.labeled_directories(test)
    )
    seconds, began = dict[str, float](), perf_counter()
    for event in job.events():
        if isinstance(event, PhaseStarted):
            began = perf_counter()
        elif isinstance(event, PhaseFinished):
            seconds[str(event.phase)] = perf_counter() - began
    classifier = job.result()
    with ml.Classifier.restore_training_session(where) as stored:
        found = SessionSummary.of(stored).finetuning
    words = ""
    if found is not None and found.comparison is not None:
        before, after = found.comparison.head_only, found.comparison.finetuned
        kept = "kept" if found.is_kept and after.is_better_than(before) else "would not be kept"
        words = f"validation {before.accuracy:.1%} -> {after.accuracy:.1%}, {kept}"
    return Outcome(test=classifier.testing_metrics, seconds=seconds, comparison=words)


def main(photos: str, share: float, seeds: int, epochs: int, precision: str, each: int, rate: float) -> None:
    """Measures."""
    print(f"{platform.machine()}, {epochs} epochs, learning rate {rate:g}, precision {precision}, {seeds} seeds")
    alone, tuned = list[Outcome](), list[Outcome]()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            train, test = divided(Path(photos), Path(folder) / "photos", share, each, seed)
            kind = cast(PrecisionChoice, precision)
            plain = "auto" if precision in ("bf16-mixed", "16-mixed") else kind
            finetune = ml.FineTune(epochs=epochs, learning_rate=rate, keep="always")
            alone.append(outcome(train, test, Path(folder) / "alone", ml.TransferLearning(), seed, plain))
            tuned.append(outcome(train, test, Path(folder) / "tuned", finetune, seed, kind))
        before, after = alone[-1], tuned[-1]
        print(
            f"seed {seed}: test {before.test.accuracy:.2%} -> {after.test.accuracy:.2%} of {after.test.count}, "
            f"log loss {before.test.log_loss:.4f} -> {after.test.log_loss:.4f}; {after.comparison}; "
            + ", ".join(f"{phase} {taken:.1f} s" for phase, taken in after.seconds.items()),
            flush=True,
        )
    accuracies = [(one.test.accuracy, other.test.accuracy) for one, other in zip(alone, tuned, strict=True)]
    apart = [after - before for before, after in accuracies]
    error = math.nan if seeds < 2 else math.sqrt(sum((each - mean(apart)) ** 2 for each in apart) / (seeds - 1) / seeds)
    print(
        f"mean: {mean(before for before, _ in accuracies):.2%} -> {mean(after for _, after in accuracies):.2%}, "
        f"{100 * mean(apart):+.2f} points, standard error over the seeds {100 * error:.2f}; "
        f"fine-tuning {mean(one.seconds['finetuning'] for one in tuned):.0f} s"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos")
    parser.add_argument("--test", type=float, default=0.3, help="share of the photos to test on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--learning-rate", type=float, default=ml.FineTune().learning_rate)
    parser.add_argument("--each", type=int, default=0, help="photos of a class; 0: all")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    main(given.photos, given.test, given.seeds, given.epochs, given.precision, given.each, given.learning_rate)
