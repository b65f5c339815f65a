"""`benchmarks/exports.py`: a cell of it on a few photos; times are not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import exports
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon")


def test_a_cell_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "test"):
        copy_photos(tmp_path / part, part, 3, LABELS)
    results = tmp_path / "exports.jsonl"
    for _ in range(2):
        exports.main(
            tmp_path,
            results,
            extractors=["lite0"],
            heads=["logistic"],
            formats=[".safetensors"],
            photos=4,
        )
    (found,) = exports.read_results(results)
    assert (found.key, found.outcome) == (("lite0", "logistic", ".safetensors"), "verified")
    assert (found.photos, found.labels_equal, found.max_difference) == (4, 4, 0.0)
    said = capsys.readouterr().out
    assert said.count("lite0, logistic, .safetensors: verified") == 1
    assert "| lite0 | logistic | `.safetensors` | 0e+00 | 4 of 4 |" in said


def test_what_is_refused_is_in_the_table() -> None:
    refused = exports.Parity(extractor="vit", head="mlp", format=".mlmodel", outcome="Core ML cannot express it")
    assert exports.table([refused])[-1] == "| vit | mlp | `.mlmodel` | Core ML cannot express it | | | | - |"
