"""Training a head on features in memory, against scikit-learn's LogisticRegression at equal loss.

    python benchmarks/extraction/heads.py --rows 2000 20000 200000 --rounds 3
    python benchmarks/extraction/heads.py --rows 20000 --profile

Ours runs until its objective is no higher than where scikit-learn ended: mean cross-entropy + ||weights||^2 / 2n, both
times on features as they are. The features are synthetic: clusters in 64 dimensions mapped to 1280 and cut at 0, as a
network's are, in half precision, as they are stored. Each fit has a process of its own, since pools of threads of two
libraries disturb each other, and is timed inside it: data and imports do not count.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

import numpy as np
import numpy.typing as npt

from benchmarks.extraction.measuring import Run, median_ratio, run, spread
from mlsession.randomness import keyed_generator

FEATURES, HIDDEN = 1280, 64
TEST_ROWS = 2000
SPREAD = 1.75
"""Of a cluster, in distances of their centres: about 98 of 100 test rows are then right."""
SCALE = 0.3
"""Gives features a mean of 0.24, about that of EfficientNet's."""
MOST_ITERATIONS = 300

Result = TypeVar("Result")


def clusters(rows: int, classes: int, seed: int = 0) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """float16 [rows, 1280] and int64 [rows]; every class has a row."""
    generator = keyed_generator(seed, "clusters")
    centres = generator.standard_normal((classes, HIDDEN), dtype=np.float32)
    outwards = generator.standard_normal((HIDDEN, FEATURES), dtype=np.float32) / np.float32(HIDDEN**0.5)
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, rows - classes)])
    features = np.empty((rows, FEATURES), dtype=np.float16)
    for start in range(0, rows, 4096):
        truth = labels[start : start + 4096]
        inner = centres[truth] + SPREAD * generator.standard_normal((len(truth), HIDDEN), dtype=np.float32)
        noise = SCALE * generator.standard_normal((len(truth), FEATURES), dtype=np.float32)
        features[start : start + 4096] = SCALE * np.maximum(inner @ outwards + noise, 0)
    return features, labels


def objective(
    weights: npt.NDArray[np.floating],
    bias: npt.NDArray[np.floating],
    features: npt.NDArray[np.float16],
    labels: npt.NDArray[np.int64],
) -> float:
    """What both minimise, in float64."""
    total = 0.0
    for start in range(0, len(labels), 4096):
        truth = labels[start : start + 4096]
        logits = features[start : start + 4096].astype(np.float64) @ weights.astype(np.float64).T + bias
        logits -= logits.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(truth)), truth]).sum())
    return (total + float(np.square(weights.astype(np.float64)).sum()) / 2) / len(labels)


def fit_ours(rows: int, classes: int, target: float, profile: bool) -> dict[str, float]:
    """Ours, until its objective is `target` or less."""
    from mlsession.extractors.numerics import THREADS, torch_numerics
    from mlsession.heads.logistic.fit import head_of, initial_state, iterate
    from mlsession.heads.options import LogisticRegressor
    from mlsession.heads.state import LogisticState
    from mlsession.session.phase import Arrays

    features, labels = clusters(rows + TEST_ROWS, classes)

    def each() -> Iterator[Arrays]:
        for start in range(0, rows, 4096):
            place = slice(start, min(start + 4096, rows))
            yield {"features": features[place], "labels": labels[place]}

    options = LogisticRegressor(l2=1 / rows)

    def fit() -> LogisticState:
        state = initial_state(each, [str(code) for code in range(classes)], options)
        while state.loss > target and not state.converged and state.iteration < MOST_ITERATIONS:
            state = iterate(state, each, options)
        return state

    with torch_numerics(THREADS):
        if profile:
            profiler = cProfile.Profile()
            profiler.runcall(fit)
            pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(15)
        state, seconds, cpu = _timed(fit)
    head = head_of(state)
    right = head.logits(features[rows:].astype(np.float32)).argmax(axis=1) == labels[rows:]
    found = objective(head.weight, head.bias, features[:rows], labels[:rows])
    return _figures(seconds, cpu, state.evaluations, found, float(right.mean()))


def fit_scikit_learn(rows: int, classes: int) -> dict[str, float]:
    """scikit-learn with its defaults."""
    from sklearn.linear_model import LogisticRegression

    features, labels = clusters(rows + TEST_ROWS, classes)
    training = features[:rows].astype(np.float32)
    with warnings.catch_warnings():
        # That it stopped after 100 iterations is told by their number.
        warnings.simplefilter("ignore")
        model, seconds, cpu = _timed(lambda: LogisticRegression().fit(training, labels[:rows]))
    found = objective(model.coef_, model.intercept_, features[:rows], labels[:rows])
    right = model.score(features[rows:].astype(np.float32), labels[rows:])
    return _figures(seconds, cpu, float(model.n_iter_.max()), found, float(right))


def _timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def _figures(seconds: float, cpu: float, passes: float, loss: float, accuracy: float) -> dict[str, float]:
    return {"seconds": seconds, "cpu": cpu, "passes": passes, "loss": loss, "accuracy": accuracy}


def main(rows: Sequence[int] = (2000, 20_000), classes: int = 10, rounds: int = 3, profile: bool = False) -> None:
    for count in rows:
        size = ("--rows", str(count), "--classes", str(classes))
        theirs, ours = list[dict[str, float]](), list[dict[str, float]]()
        for number in range(rounds):
            theirs.append(_child("scikit-learn", *size))
            profiled = ("--profile",) if profile and number == 0 else ()
            ours.append(_child("ours", *size, "--target", repr(theirs[0]["loss"]), *profiled))
        _report(count, classes, {"scikit-learn": theirs, "ours": ours})


def _child(solver: str, *words: str) -> dict[str, float]:
    one: Run = run([sys.executable, __file__, "--solver", solver, *words])
    *said, last = one.output.strip().splitlines()
    print("\n".join(said), end="\n" if said else "")
    figures: dict[str, float] = json.loads(last)
    return figures


def _report(rows: int, classes: int, made: dict[str, list[dict[str, float]]]) -> None:
    print(f"{rows} x {FEATURES}, {classes} classes")
    for name, runs in made.items():
        wall, cpu = spread([one["seconds"] for one in runs]), spread([one["cpu"] for one in runs], "CPU s")
        print(
            f"  {name:14} {wall:24} {cpu:28}"
            f" passes {statistics.median(one['passes'] for one in runs):4.0f}, objective {runs[0]['loss']:.6f},"
            f" accuracy {100 * runs[0]['accuracy']:.2f} %"
        )
    for unit, what in (("seconds", "wall"), ("cpu", "CPU")):
        ratio = median_ratio([one[unit] for one in made["scikit-learn"]], [one[unit] for one in made["ours"]])
        print(f"  {ratio:.2f}x faster, {what}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=(2000, 20_000))
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="also say where ours spends its time")
    parser.add_argument("--solver", choices=("ours", "scikit-learn"), help=argparse.SUPPRESS)
    parser.add_argument("--target", type=float, default=0.0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.solver == "ours":
        print(json.dumps(fit_ours(given.rows[0], given.classes, given.target, given.profile)))
    elif given.solver is not None:
        print(json.dumps(fit_scikit_learn(given.rows[0], given.classes)))
    else:
        main(given.rows, given.classes, given.rounds, given.profile)
