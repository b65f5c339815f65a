"""`benchmarks/quality.py`: folds, sums, and a run on a few photos; what it measures is not looked at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.rivals.contenders import Contender, Place, contenders, missing
from benchmarks.rivals.folds import FOLDS, Cell, Photos, file_name, fold_numbers, lay_out
from benchmarks.rivals.results import (
    Result,
    append_result,
    difference,
    probabilities_of,
    read_results,
    scores_of,
)
from benchmarks.rivals.table import verdicts
from benchmarks.rivals.with_scikit_learn import fit
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon")


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos.below(copy_photos(tmp_path / "photos", "train", 6, LABELS))


def result(photos: Photos, contender: str, seed: int, fold: int, right: int, seconds: float = 1.0) -> Result:
    """Of a contender that is right, and quite sure, of the first `right` photos of a fold, and wrong of the others."""
    held_out = np.flatnonzero(fold_numbers(photos.labels, seed) == fold)
    said = np.where(np.arange(len(held_out)) < right, photos.truth[held_out], 1 - photos.truth[held_out])
    rows = tuple((0.9, 0.1) if place == 0 else (0.1, 0.9) for place in said)
    return Result(
        contender=contender,
        photos=photos.digest,
        seed=seed,
        fold=fold,
        is_cold=True,
        seconds=seconds,
        cpu_seconds=1.0,
        peak_bytes=1,
        numbers=tuple(held_out.tolist()),
        probabilities=rows,
    )


def test_folds_are_stratified_equal_and_of_their_seed_alone() -> None:
    labels = ["a"] * 13 + ["b"] * 7 + ["c"] * 31
    numbers = fold_numbers(labels, 3)
    assert sorted(np.bincount(numbers)) == [10, 10, 10, 10, 11]
    for label in "abc":
        counts = np.bincount(numbers[[own == label for own in labels]], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(numbers, fold_numbers(labels, 3))
    assert (numbers != fold_numbers(labels, 4)).any()


def test_a_cell_has_every_photo_once_and_no_label_of_those_held_out(photos: Photos, tmp_path: Path) -> None:
    cell = lay_out(photos, 0, 1, tmp_path / "cell")
    assert sorted(int(path.stem) for path in cell.test.iterdir()) == list(cell.held_out)
    known = {int(path.stem): path for path in cell.train.glob("*/*")}
    assert sorted([*known, *cell.held_out]) == list(range(len(photos)))
    assert all(path.parent.name == photos.labels[number] for number, path in known.items())
    assert all(path.read_bytes() == photos.paths[number].read_bytes() for number, path in known.items())


def test_answers_are_put_in_our_order_and_must_be_whole(photos: Photos, tmp_path: Path) -> None:
    cell = Cell(folder=tmp_path, seed=0, fold=0, held_out=(0, 7))
    said = {"classes": ["Lemon", "Kiwi"], "probabilities": {"000007": [0.75, 0.25], "000000": [0.5, 0.5]}}
    assert probabilities_of(said, cell, photos) == ((0.5, 0.5), (0.25, 0.75))
    with pytest.raises(ValueError, match="photo 000007"):
        probabilities_of({**said, "probabilities": {"000000": [0.5, 0.5]}}, cell, photos)
    with pytest.raises(ValueError, match="sum up to 1"):
        probabilities_of({**said, "probabilities": {"000000": [0.5, 0.4]}}, cell, photos)


def test_results_are_kept_and_a_line_that_was_cut_short_is_not(photos: Photos, tmp_path: Path) -> None:
    path, one = tmp_path / "results.jsonl", result(photos, "mlsession", 0, 0, 2)
    assert read_results(path, photos) == []
    append_result(path, one)
    with path.open("a") as file:
        file.write('{"contender": "ml')
    assert read_results(path, photos) == [one]
    append_result(path, one)
    assert read_results(path, photos) == [one, one]
    path.write_text(path.read_text().replace(photos.digest, "another"))
    with pytest.raises(ValueError, match="other photos"):
        read_results(path, photos)


def test_scores_and_paired_differences(photos: Photos) -> None:
    ours = [result(photos, "mlsession", seed, fold, 9) for seed in range(2) for fold in range(FOLDS)]
    theirs = [result(photos, "peer", 0, fold, 1, seconds=7) for fold in range(FOLDS)]
    scores = scores_of([*ours, *ours], photos.truth)
    assert (scores.cells, scores.accuracy) == (10, 1.0)
    assert scores.log_loss == pytest.approx(-np.log(0.9))
    assert scores.calibration_error == pytest.approx(0.1, abs=1e-6)
    # Of 12 photos 5 are right, one of each fold: seven differ by 1, and five by nothing.
    apart = difference(ours, theirs, photos.truth)
    assert apart.cells == FOLDS
    assert apart.mean == pytest.approx(7 / 12)
    assert apart.error == pytest.approx(np.std([1] * 7 + [0] * 5, ddof=1) / np.sqrt(12))
    said = verdicts([*ours, *theirs], photos, "mlsession", ["mlsession"])
    assert said[0].startswith("accuracy: met: mlsession less peer")
    assert said[1] == "time: met: peer takes 7.0 times as long; 5 are asked"
    assert verdicts([*ours, *theirs], photos, "peer", ["peer"])[0].startswith("accuracy: missed: peer less mlsession")
    assert verdicts(ours, photos, "mlsession", ["mlsession"]) == []


def test_peers_that_are_not_installed_are_named(photos: Photos, tmp_path: Path) -> None:
    place = Place(folder=tmp_path, photos=photos, weights=tmp_path, fastai_python="/no/such/python")
    named: dict[str, Contender] = {contender.name: contender for contender in contenders(place, ["--no-such 1"])}
    assert missing(named["mlsession"], place) is None
    assert "does not know --no-such" in str(missing(named["mlsession --no-such 1"], place))
    assert "/no/such/python" in str(missing(named["fastai, frozen body"], place))


# Of each new version it tells what will be another default in the next.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scikit_learn_answers_for_each_photo_held_out(tmp_path: Path) -> None:
    photos = Photos.below(copy_photos(tmp_path / "photos", "train", 8, LABELS))
    cell, stored, output = lay_out(photos, 0, 0, tmp_path / "cell"), tmp_path / "features.npz", tmp_path / "output.json"
    names = np.array([file_name(number, path) for number, path in enumerate(photos.paths)])
    np.savez(stored, names=names[::-1], features=np.stack([photos.truth, -photos.truth], axis=1)[::-1])
    fit(cell.folder, output, "mlsession", standardised=True, stored=stored)
    rows = np.array(probabilities_of(json.loads(output.read_text()), cell, photos))
    np.testing.assert_array_equal(rows.argmax(axis=1), photos.truth[list(cell.held_out)])


def test_it_runs_and_goes_on(photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, results, ours = photos.paths[0].parents[1], tmp_path / "results.jsonl", "mlsession --tune off"
    for _ in range(2):
        quality.main(folder, results, seeds=1, folds=1, cold=1, only=[ours], reference=ours)
    output = capsys.readouterr().out
    assert output.count(f"seed 0, fold 0: {ours}: ") == 1
    assert output.count(f"\n{ours}  ") == 2
    (kept,) = read_results(results, photos)
    assert (kept.contender, kept.cell, kept.is_cold) == (ours, (0, 0), True)
    with pytest.raises(ValueError, match="there are 'mlsession', "):
        quality.main(folder, results, only=["nobody"])
