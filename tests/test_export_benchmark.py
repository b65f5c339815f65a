"""`benchmarks/exports.py`: a cell of it on a few photos; times are not looked at."""

from __future__ import annotations

import re
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
    assert "| lite0 | logistic | `.safetensors` | 0e+00 | 4 of 4 | 11 kB | 13.4 MB | " in said
    assert found.seconds is not None
    assert found.model_seconds is not None
    exports.main(tmp_path, results, show=True, wide=True)
    wide = capsys.readouterr().out.splitlines()
    assert wide[0] == "| extractor, head | before | `.safetensors` |"
    assert re.fullmatch(r"\| lite0, logistic \| 13\.4 MB, \d+ ms \| 0e\+00, 11 kB, \d+ ms \|", wide[2])


def test_what_is_refused_is_in_the_table() -> None:
    refused = exports.Parity(extractor="vit", head="mlp", format=".mlmodel", outcome="Core ML cannot express it")
    assert exports.table([refused])[-1] == "| vit | mlp | `.mlmodel` | Core ML cannot express it | | | | | - |"
    assert exports.by_format([refused])[-1] == "| vit, mlp | -, - | Core ML cannot express it |"
