"""Every benchmark runs, for as short a time as it can; what it measures is not looked at."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.photo_faults import FAULTS
from benchmarks.photo_faults import make as make_faults
from benchmarks.resume_cost import make_images, measured
from tests.photos import copy_photos

pytestmark = pytest.mark.sampled(0.3)

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHORT = {"bench_commit": {"rounds": 1, "steps": 3, "with_s3": False}, "bench_start": {"rounds": 1}}


@pytest.mark.parametrize("script", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_it_runs(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(script))["main"](**SHORT[script.stem])
    assert capsys.readouterr().out.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads what memory it took as Linux tells it")
def test_log_scale_runs(capfd: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / "log_scale.py"))["main"](checkpoints=200, kills=0)
    assert " are left" in capfd.readouterr().out


def test_cache_scale_runs(capfd: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / "cache_scale.py"))["main"](rows=5_000, shuffled=10)
    assert "5,000 rows: open s" in capfd.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads what memory it took as Linux tells it")
def test_index_scale_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / "index_scale.py"))["main"](keys=(2_000,), output=tmp_path / "index.json")
    assert "2,000      decode" in capfd.readouterr().out
    assert json.loads((tmp_path / "index.json").read_text())["2000"]["index"]["seconds"] > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads what memory it took as Linux tells it")
def test_resume_cost_runs(tmp_path: Path) -> None:
    make_images(tmp_path / "images", 64)
    found = measured(tmp_path / "images", tmp_path, dimension=8, count=64, done=32, number=0)
    assert min(found.values()) >= 0
    assert found["VmHWM"] > found["RssAnon"] > 0


def test_advice_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 12), ("test", 6)):
        copy_photos(tmp_path / part, part, each, ("Kiwi", "Lemon"))
    planted = "half of the test photos trained on"
    runpy.run_path(str(FOLDER / "advice.py"))["main"](str(tmp_path), seeds=1, only=planted)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [*planted.split(), "leaked_images", "x1", "1", "of", "1"]


def test_review_faults_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 5), ("test", 2)):
        copy_photos(tmp_path / part, part, each, ("Kiwi", "Lemon"))
    runpy.run_path(str(FOLDER / "review_faults.py"))["main"](str(tmp_path), seeds=1, swapped=0.1, find_only=True)
    assert "review: " in capsys.readouterr().out


def test_automatic_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 6, ("Banana", "Kiwi"))
    runpy.run_path(str(FOLDER / "automatic.py"))["main"]([str(photos)], seeds=1)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3 + 2


def test_automatic_extractor_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 14, ("Banana", "Kiwi"))
    benchmark = runpy.run_path(str(FOLDER / "automatic_extractor.py"))
    benchmark["main"]([str(photos)], 1, 0.2, benchmark["EVERY"][:1])
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 + 1


def test_automatic_views_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 10), ("test", 2)):
        copy_photos(tmp_path / part, part, each, ("Kiwi", "Lemon"))
    runpy.run_path(str(FOLDER / "automatic_views.py"))["main"](str(tmp_path), 1, [10], ["flip"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 + 4 + 1


def test_calibration_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 10, ("Banana", "Kiwi"))
    runpy.run_path(str(FOLDER / "calibration.py"))["main"]([str(photos)], seeds=1)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3


def test_intervals_runs(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = runpy.run_path(str(FOLDER / "intervals.py"))
    (setting,) = (each for each in benchmark["SETTINGS"] if each.name == "5x100")
    benchmark["main"](draws=20, settings=(setting,), size=20_000)
    header, *rows, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["interval", "of", "5x100"]
    # Of 20 intervals of 95 % fewer than 14 hold what is true once in 3 million draws; the draws are always the same.
    assert all(float(row.split()[1]) >= 70 for row in rows), rows
    assert len(rows) == len(benchmark["OVERALL"]) + len(benchmark["OF_CLASSES"])


def test_judged_folds_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 10, ("Banana", "Kiwi"))
    runpy.run_path(str(FOLDER / "judged_folds.py"))["main"](str(photos), images=200, draws=1, classes=[3], enough=50)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3


def test_averaged_views_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 3), ("test", 1)):
        copy_photos(tmp_path / part, part, each, ("Kiwi", "Lemon"))
    runpy.run_path(str(FOLDER / "averaged_views.py"))["main"](str(tmp_path), seeds=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 photos, 4 held out, 1 seeds"
    assert len(lines) == 2 + 8 + 1


def test_learning_curve_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 9), ("test", 3)):
        copy_photos(tmp_path / part, part, each, ("Kiwi", "Lemon"))
    runpy.run_path(str(FOLDER / "learning_curve.py"))["main"](str(tmp_path), visible=0.5, draws=1, truths=1, left=4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("12 of 24 photos visible, 1 draws")
    assert lines[2].startswith("accuracy at 1x")


def test_damaged_files_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, each in (("train", 5), ("test", 2)):
        copy_photos(tmp_path / "photos" / part, part, each, ("Kiwi", "Lemon"))
    (tmp_path / "damaged" / "text").mkdir(parents=True)
    (tmp_path / "damaged" / "text" / "photo.jpg").write_bytes(b"no photo")
    (tmp_path / "damaged" / "expected.csv").write_text("folder,file,outcome\ntext,photo.jpg,reject\n")
    benchmark = runpy.run_path(str(FOLDER / "damaged_files.py"))
    assert benchmark["main"](str(tmp_path / "photos"), str(tmp_path / "damaged"), 3, ("--tune", "off"))
    assert "3 of 3 damaged files" in capsys.readouterr().out


def test_photo_faults_runs(tmp_path: Path) -> None:
    copy_photos(tmp_path / "photos", "train", 4, ("Kiwi", "Lemon"))
    found = [tmp_path / "one", tmp_path / "again"]
    for out in found:
        assert make_faults(tmp_path / "photos", out) == 8
    files = [{path.relative_to(out): path.read_bytes() for path in out.rglob("*.png")} for out in found]
    assert files[0] == files[1]
    assert {path.parent.name for path in files[0]} == set(FAULTS)
