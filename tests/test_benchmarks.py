"""Every benchmark runs, for as short a time as it can; what it measures is not looked at."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.resume_cost import make_images, measured

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
def test_resume_cost_runs(tmp_path: Path) -> None:
    make_images(tmp_path / "images", 64)
    found = measured(tmp_path / "images", tmp_path, dimension=8, count=64, done=32, number=0)
    assert min(found.values()) >= 0
    assert found["VmHWM"] > found["RssAnon"] > 0
