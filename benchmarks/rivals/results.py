"""What each contender said of each fold: kept as JSON lines, scored by us, alike for all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.rivals.folds import Cell, Photos
from mlsession.metrics.calibration import calibration_table, expected_calibration_error

SMALLEST = 1e-7
"""A probability below it counts as this much in the log loss: about what float32 leaves of certainty."""
DIGITS = 7
"""Of a stored probability."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one contender made of one fold of one seed."""

    contender: str
    photos: str
    """`Photos.digest`."""
    seed: int
    fold: int
    is_cold: bool
    """Whether the time counts: from the command to the predictions, every import and all features."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    numbers: tuple[int, ...]
    """The photos held out."""
    probabilities: tuple[tuple[float, ...], ...]
    """Of each of them, over all classes in order."""

    @property
    def cell(self) -> tuple[int, int]:
        return self.seed, self.fold


def probabilities_of(said: Mapping[str, Any], cell: Cell, photos: Photos) -> tuple[tuple[float, ...], ...]:
    """What a process wrote, `{"classes": [...], "probabilities": {"000012": [...]}}`, in our order of both.

    A class that it does not know has probability 0. Raises `ValueError` where a photo is missing or its row does not
    sum up to 1.
    """
    known = {str(label): place for place, label in enumerate(said["classes"])}
    rows = []
    for number in cell.held_out:
        row = said["probabilities"].get(f"{number:06}")
        if row is None or len(row) != len(known) or not math.isclose(math.fsum(row), 1, abs_tol=1e-3):
            raise ValueError(f"photo {number:06}: no row of {len(known)} probabilities that sum up to 1, but {row}")
        rows.append(tuple(round(row[known[label]], DIGITS) if label in known else 0.0 for label in photos.classes))
    return tuple(rows)


def read_results(path: Path, photos: Photos) -> list[Result]:
    """What a file holds; none of a file that does not exist yet. Raises `ValueError` for results of other photos."""
    if not path.exists():
        return []
    # The last line of a run that was killed may be cut short; it is measured again.
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    results = [_result(json.loads(line)) for line in lines]
    if any(result.photos != photos.digest for result in results):
        raise ValueError(f"{path}: has results of other photos; name another file with --results")
    return results


def _result(data: dict[str, Any]) -> Result:
    rows = tuple(tuple(row) for row in data["probabilities"])
    return Result(**{**data, "numbers": tuple(data["numbers"]), "probabilities": rows})


def append_result(path: Path, result: Result) -> None:
    """Adds a line; one that was cut short goes."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = kept[: kept.rfind("\n") + 1]
    if whole != kept:
        path.write_text(whole, encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Of one contender, over all photos of all its folds and seeds."""

    cells: int
    accuracy: float
    log_loss: float
    calibration_error: float
    """Expected, over 15 bins of all predictions together."""


def scores_of(results: Iterable[Result], truth: npt.NDArray[np.int64]) -> Scores:
    """`truth`: int64 [N] places of classes, by photo. A cell that was run cold and not counts once."""
    chosen = list(once(results).values())
    labels = np.concatenate([truth[list(result.numbers)] for result in chosen])
    rows: Floats = np.concatenate([np.array(result.probabilities) for result in chosen])
    correct = rows.argmax(axis=1) == labels
    of_truth = np.maximum(rows[np.arange(len(labels)), labels], SMALLEST)
    return Scores(
        cells=len(chosen),
        accuracy=float(correct.mean()),
        log_loss=float(-np.log(of_truth).mean()),
        calibration_error=expected_calibration_error(calibration_table(rows.max(axis=1), correct)),
    )


def once(results: Iterable[Result]) -> dict[tuple[int, int], Result]:
    """One result for each cell."""
    return {result.cell: result for result in results}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two contenders' accuracy on the cells that both have."""

    mean: float
    error: float
    """Standard error of the mean, over photos: those are what is drawn; seeds only fold them anew."""
    cells: int


def difference(ours: Iterable[Result], theirs: Iterable[Result], truth: npt.NDArray[np.int64]) -> Difference:
    """Ours less theirs, paired by photo: each photo's mean over the common seeds, then mean and error over photos."""
    one, other = once(ours), once(theirs)
    common = sorted(one.keys() & other.keys())
    sums, counts = np.zeros(len(truth)), np.zeros(len(truth))
    for cell in common:
        numbers = list(one[cell].numbers)
        if numbers != list(other[cell].numbers):
            raise ValueError(f"seed {cell[0]}, fold {cell[1]}: other photos were held out")
        sums[numbers] += _correct(one[cell], truth) - _correct(other[cell], truth)
        counts[numbers] += 1
    of_photos = sums[counts > 0] / counts[counts > 0]
    if len(of_photos) < 2:
        return Difference(mean=math.nan, error=math.nan, cells=0)
    error = float(of_photos.std(ddof=1) / math.sqrt(len(of_photos)))
    return Difference(mean=float(of_photos.mean()), error=error, cells=len(common))


def _correct(result: Result, truth: npt.NDArray[np.int64]) -> Floats:
    right: Floats = (np.array(result.probabilities).argmax(axis=1) == truth[list(result.numbers)]).astype(np.float64)
    return right


def by_contender(results: Sequence[Result]) -> dict[str, list[Result]]:
    """In order of their first result."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.contender, []).append(result)
    return found
