"""`mlsession export MODEL DIR/`: a folder with a card, what is printed of it, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.cli.printing.exporting import Exports
from mlsession.cli.printing.smaller import Smaller
from mlsession.errors import InvalidParameter
from mlsession.training.outcome import Trained
from tests.training.test_exporting import some_model


def test_a_folder_is_written_and_is_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ml.Classifier._of(Trained(model=some_model(), metrics={})).write("a.safetensors")
    assert run(["export", "a.safetensors", "Pets/", "--license", "MIT", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"path", "files", "reports"}
    assert sorted(said["files"]) == sorted(path.name for path in (tmp_path / "Pets").iterdir())
    assert [report["path"] for report in said["reports"]] == ["model.safetensors"]
    assert (tmp_path / "Pets" / "README.md").read_text().startswith("---\nlicense: mit\n")
    # It is there now, so it needs no slash; and a folder is a model like any other.
    assert run(["export", "Pets", "Pets"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("README.md")


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    saved = str(tmp_path / "a.safetensors")
    with pytest.raises(InvalidParameter, match="of a folder with a card"):
        Exports(paths=[saved], formats=["onnx"]).check()
    with pytest.raises(InvalidParameter, match="the folder gets none; add the format mlpackage or mlmodel"):
        Exports(paths=[f"{tmp_path}/new/"], formats=["onnx"], smaller=Smaller(compress="int8")).check()
    for formats in (["onnx"], ["mlmodel"]):
        with pytest.raises(InvalidParameter, match="must be one of float16"):
            Exports(paths=[f"{tmp_path}/new/"], formats=formats, smaller=Smaller(compress="int7")).check()
    with pytest.raises(InvalidParameter, match="is for compressed exports"):
        Exports(paths=[f"{tmp_path}/new/"], formats=["mlmodel"], smaller=Smaller(max_changed=0.1)).check()
    Exports(paths=[f"{tmp_path}/new/"], formats=["onnx", "mlmodel"], smaller=Smaller(compress="int8")).check()
    with pytest.raises(InvalidParameter, match="written as DIR/"):
        Exports(paths=[str(tmp_path / "new")]).check()
    with pytest.raises(InvalidParameter, match="tflite"):
        Exports(paths=[f"{tmp_path}/new/"], formats=["tflite"]).check()
    assert list(tmp_path.iterdir()) == []
