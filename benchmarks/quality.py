"""Accuracy, calibration and time to result against others, on the same photos, folds and backbone weights.

    python benchmarks/quality.py FOLDER                                          ours and scikit-learn
    python benchmarks/quality.py FOLDER --fastai-python VENV/bin/python --autogluon-python VENV/bin/python
    python benchmarks/quality.py FOLDER --seeds 1 --folds 2 --only mlsession "mlsession --tune off"
    python benchmarks/quality.py FOLDER --results quality.jsonl --show           the table of what is there

FOLDER has one sub-folder of photos for each label, at any depth. For each seed all photos are dealt into five
stratified folds; each fold is predicted by what was made of the other four. Each contender is a process of its own with
its defaults, its predictions are scored here, alike for all, and the standard error of a difference is over photos.

Time is that of cold runs: from the command to the predictions of the fold, every import counted, features extracted.
The first `--cold` cells are run so; in the others the frozen features of ours and scikit-learn are made only once.
fastai and AutoGluon train the network, so they are run on the first `--deep-cells` cells alone, always cold. On a busy
machine `--cold 0` finds the accuracy and no time. Every result is added to `--results` at once, and what is there is
not measured again: name a new file for a new version of the program.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.extraction.measuring import Failed
from benchmarks.rivals.contenders import OURS, Contender, Place, contenders, measured, missing
from benchmarks.rivals.folds import FOLDS, Photos, lay_out
from benchmarks.rivals.results import Result, append_result, read_results
from benchmarks.rivals.table import table, verdicts
from benchmarks.rivals.weights import write_weights

REFERENCE = next(iter(OURS))


def taking_part(place: Place, further: Sequence[str], only: Sequence[str]) -> list[Contender]:
    """Those that are wanted and installed; says of the others why not. Raises `ValueError` for unknown names."""
    every = contenders(place, further)
    unknown = set(only) - {contender.name for contender in every}
    if unknown:
        known = ", ".join(repr(contender.name) for contender in every)
        raise ValueError(f"--only {', '.join(map(repr, sorted(unknown)))}: there are {known}")
    found = []
    for contender in every:
        if only and contender.name not in only:
            continue
        reason = missing(contender, place)
        if reason is None:
            found.append(contender)
        else:
            print(f"{contender.name}: left out: {reason}", flush=True)
    return found


def measure(
    place: Place, parts: Sequence[Contender], cells: Sequence[tuple[int, int]], cold: int, deep: int, results: Path
) -> list[Result]:
    """Everything that `results` does not have yet; all of a cell right after each other, so that they meet one machine.

    A contender that fails is left out from then on. With `cold` 0 no time counts.
    """
    photos, found, failed = place.photos, read_results(results, place.photos), set[str]()
    done = {(result.contender, result.seed, result.fold, result.is_cold) for result in found}
    for number, (seed, fold) in enumerate(cells):
        wanted = [
            (contender, number < cold or (contender.is_deep and cold > 0))
            for contender in parts
            if contender.name not in failed and (number < deep or not contender.is_deep)
        ]
        # A cell that was run cold needs no other run.
        wanted = [
            (one, is_cold)
            for one, is_cold in wanted
            if not done & {(one.name, seed, fold, kind) for kind in (True, is_cold)}
        ]
        if not wanted:
            continue
        if any(one.is_deep for one, _ in wanted) and not place.weights.exists():
            write_weights(place.weights)
        with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as folder:
            cell = lay_out(photos, seed, fold, Path(folder) / "cell")
            for contender, is_cold in wanted:
                try:
                    result = measured(contender, cell, photos, is_cold)
                except (Failed, ValueError) as error:
                    failed.add(contender.name)
                    print(f"{contender.name}: left out: {error}", flush=True)
                    continue
                append_result(results, result)
                found.append(result)
                how = "cold" if is_cold else "which does not count"
                print(f"seed {seed}, fold {fold}: {contender.name}: {result.seconds:.1f} s, {how}", flush=True)
    return found


def main(
    folder: Path,
    results: Path,
    seeds: int = 5,
    folds: int = FOLDS,
    cold: int = 3,
    deep_cells: int = FOLDS,
    fastai_python: str = sys.executable,
    autogluon_python: str = sys.executable,
    autogluon_seconds: float = 300,
    further: Sequence[str] = (),
    only: Sequence[str] = (),
    reference: str = REFERENCE,
    show: bool = False,
) -> None:
    """Measures what is missing, and prints the table."""
    photos = Photos.below(folder)
    if show:
        found = read_results(results, photos)
    else:
        with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as shared:
            here = Path(shared)
            place = Place(
                folder=here,
                photos=photos,
                weights=here / "weights",
                fastai_python=fastai_python,
                autogluon_python=autogluon_python,
                autogluon_seconds=autogluon_seconds,
            )
            cells = [(seed, fold) for seed in range(seeds) for fold in range(folds)]
            parts = taking_part(place, further, only)
            found = measure(place, parts, cells, cold, deep_cells, results)
    print(f"{len(photos)} photos of {len(photos.classes)} labels; {FOLDS} folds a seed")
    ours = [name for name in {result.contender for result in found} if name.startswith("mlsession")]
    print("\n".join([*table(found, photos, reference), *verdicts(found, photos, reference, ours)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, default=Path("quality.jsonl"), help="JSON lines, one for each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, choices=range(1, FOLDS + 1), default=FOLDS, help="so many of each seed's")
    parser.add_argument(
        "--cold", type=int, default=3, help="cells that are run cold; 0 on a busy machine: no time counts"
    )
    parser.add_argument("--deep-cells", type=int, default=FOLDS, help="cells for those that train the network")
    parser.add_argument("--fastai-python", default=sys.executable)
    parser.add_argument("--autogluon-python", default=sys.executable)
    parser.add_argument("--autogluon-seconds", type=float, default=300, help="time limit of its fit")
    parser.add_argument(
        "--further", nargs="+", default=(), metavar="WORDS", help='more of ours: "--seed 3 --iterations 50"'
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="these alone, as the table calls them")
    parser.add_argument("--reference", default=REFERENCE, help="the one of ours that others are compared with")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    main(**vars(parser.parse_args()))
