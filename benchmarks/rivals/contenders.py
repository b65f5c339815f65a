"""Who takes part: the commands that make a classifier from a cell's photos and say what it thinks of the others."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.extraction.measuring import Failed, Run, mlsession, run
from benchmarks.rivals.folds import Cell, Photos
from benchmarks.rivals.results import Result, probabilities_of
from benchmarks.rivals.weights import HUB, WEIGHTS

HERE = Path(__file__).parent
OURS: Mapping[str, tuple[str, ...]] = {
    "mlsession": (),
    "mlsession --tune off": ("--tune", "off"),
    "mlsession --classifier mlp": ("--classifier", "mlp"),
    "mlsession --classifier auto": ("--classifier", "auto"),
}
"""Ours, by what its command line says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to a classifier."""

    name: str
    answer: Callable[[Cell, bool], tuple[Sequence[Run], Mapping[str, Any]]]
    """Runs its commands on a cell, cold or with features made before, and gives what they took and said."""
    is_deep: bool = False
    """Whether it trains the network itself: then nothing can be made before, and it is too slow for all cells."""
    is_ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the contenders share: files that are made before, and the interpreters of those that have their own."""

    folder: Path
    photos: Photos
    weights: Path
    """A folder for those of timm's network, see `weights.write_weights`."""
    fastai_python: str = field(default=sys.executable)
    autogluon_python: str = field(default=sys.executable)
    autogluon_seconds: float = 300


def contenders(place: Place, further: Sequence[str] = ()) -> list[Contender]:
    """All; `further` has words of more command lines of ours. Some may not be installed, see `missing`."""
    ways = {**OURS, **{f"mlsession {words}": tuple(words.split()) for words in further}}
    found = [Contender(name=name, answer=partial(_ours, place, words), is_ours=True) for name, words in ways.items()]
    for extractor, start in (("mlsession", "scikit-learn"), ("timm", "timm + scikit-learn")):
        for words, end in (((), ""), (("--standardised",), ", standardised")):
            found.append(Contender(name=start + end, answer=partial(_scikit_learn, place, extractor, words)))
    for recipe, name in (("frozen", "fastai, frozen body"), ("fine_tune", "fastai fine_tune(4)")):
        found.append(Contender(name=name, answer=partial(_fastai, place, recipe), is_deep=True))
    name = f"AutoGluon, {place.autogluon_seconds:g} s"
    return [*found, Contender(name=name, answer=partial(_autogluon, place), is_deep=True)]


def missing(contender: Contender, place: Place) -> str | None:
    """Why a contender cannot take part here; None if it can."""
    if contender.is_ours:
        known = run(mlsession("train", "--help"), {"COLUMNS": "200"}).output.split()
        unknown = [word for word in contender.name.split() if word.startswith("--") and word not in known]
        return f"mlsession train does not know {', '.join(unknown)}" if unknown else None
    python, module = {
        "fastai": (place.fastai_python, "fastai.vision.all"),
        "AutoGluon": (place.autogluon_python, "autogluon.multimodal"),
    }.get(contender.name.replace(",", " ").split()[0], (sys.executable, "sklearn"))
    try:
        run([python, "-c", f"import {module}"])
    except (Failed, OSError):
        return f"{python} cannot import {module}"
    return None


def measured(contender: Contender, cell: Cell, photos: Photos, is_cold: bool) -> Result:
    """Runs it. Raises `Failed`, and `ValueError` for answers that are none."""
    runs, said = contender.answer(cell, is_cold)
    return Result(
        contender=contender.name,
        photos=photos.digest,
        seed=cell.seed,
        fold=cell.fold,
        is_cold=is_cold,
        seconds=sum(one.seconds for one in runs),
        cpu_seconds=sum(one.cpu_seconds for one in runs),
        peak_bytes=max(one.peak_bytes for one in runs),
        numbers=cell.held_out,
        probabilities=probabilities_of(said, cell, photos),
    )


def _ours(place: Place, words: Sequence[str], cell: Cell, is_cold: bool) -> tuple[list[Run], dict[str, Any]]:
    """What a person types: `train`, then `predict`; features made before come from a cache."""
    cache = ("--cache", "none" if is_cold else place.folder / "cache")
    seed = ("--seed", str(cell.seed))
    count = ("--top-k", str(len(place.photos.classes)))
    with tempfile.TemporaryDirectory(dir=cell.folder) as folder:
        session, output = Path(folder) / "ours.mlsession", Path(folder) / "ours.csv"
        runs = [
            run(mlsession("train", cell.train, "--session", session, *cache, *seed, *words)),
            run(mlsession("predict", session, cell.test, "--output", output, *count, *cache)),
        ]
        said = {row["path"]: _ranked(row) for row in csv.DictReader(output.read_text("utf-8").splitlines())}
    classes = sorted({label for row in said.values() for label in row})
    rows = {Path(path).stem: [row[label] for label in classes] for path, row in said.items()}
    return runs, {"classes": classes, "probabilities": rows}


def _ranked(row: Mapping[str, str]) -> dict[str, float]:
    """Confidence by label of a row of `mlsession predict`."""
    ends = [name.removeprefix("label") for name in row if name.startswith("label") and row[name]]
    return {row[f"label{end}"]: float(row[f"confidence{end}"]) for end in ends}


def _scikit_learn(
    place: Place, extractor: str, words: Sequence[str], cell: Cell, is_cold: bool
) -> tuple[list[Run], Mapping[str, Any]]:
    script, output = HERE / "with_scikit_learn.py", cell.folder / "output.json"
    given: tuple[str, ...] = ("--extractor", extractor, *words)
    environment: dict[str, str] = {}
    if not is_cold:
        stored = place.folder / f"{extractor}.npz"
        if not stored.exists():
            # Of the whole cell, which has all photos.
            run([sys.executable, str(script), "features", str(cell.folder), str(stored), "--extractor", extractor])
        given = ("--features", str(stored), *words)
        # Where others use the machine its threads wait for each other, for minutes; the answers are the same.
        environment = {"OPENBLAS_NUM_THREADS": "1"}
    made = run([sys.executable, "-W", "ignore", str(script), "fit", str(cell.folder), str(output), *given], environment)
    return [made], _read(output)


def _fastai(place: Place, recipe: str, cell: Cell, is_cold: bool) -> tuple[list[Run], Mapping[str, Any]]:
    output = cell.folder / "output.json"
    words = ("--weights", str(place.weights / WEIGHTS), "--recipe", recipe, "--seed", str(cell.seed))
    made = run([place.fastai_python, str(HERE / "with_fastai.py"), str(cell.folder), str(output), *words])
    return [made], _read(output)


def _autogluon(place: Place, cell: Cell, is_cold: bool) -> tuple[list[Run], Mapping[str, Any]]:
    output = cell.folder / "output.json"
    words = ("--seconds", str(place.autogluon_seconds), "--seed", str(cell.seed))
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(place.weights / HUB)}
    script = str(HERE / "with_autogluon.py")
    return [run([place.autogluon_python, script, str(cell.folder), str(output), *words], environment)], _read(output)


def _read(output: Path) -> Mapping[str, Any]:
    said: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    output.unlink()
    return said
