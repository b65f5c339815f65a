"""`mlsession review`, and `train --labels`, as a user goes from one to the other."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.cli.running.review import report_lines
from mlsession.reviewing.findings import Finding, Reason
from mlsession.reviewing.report import ReviewReport
from tests.cli.conftest import LABELS
from tests.photos import copy_photos


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, one of them twice with two labels, and one of them in the test set."""
    copy_photos(tmp_path / "train", "train", 6, LABELS)
    copy_photos(tmp_path / "test", "test", 1, LABELS)
    shutil.copy2(sorted((tmp_path / "train" / "Kiwi").iterdir())[0], tmp_path / "train" / "Tomato" / "x.jpg")
    shutil.copy2(sorted((tmp_path / "test" / "Lemon").iterdir())[0], tmp_path / "train" / "Lemon" / "x.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_review_to_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "train", "--test", "test", "--session", "s", "--validation", "none"]
    assert run(train) == 0
    capsys.readouterr()
    assert run(["review", "s", "--output", "fixes.csv"]) == 0
    said = capsys.readouterr()
    kiwi = sorted((folder / "train" / "Kiwi").iterdir())[0].name
    assert f"Tomato/x.jpg (Tomato, likely Kiwi): the same as Kiwi/{kiwi}" in said.out
    assert "Lemon/x.jpg: the same as test image Lemon/" in said.out
    printed = said.out.rstrip().splitlines()[-1].strip()
    assert printed.endswith("--validation none --labels fixes.csv --on-modified-data update")
    assert "reading 3 test images ..." in said.err
    lines = (folder / "fixes.csv").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Tomato/x.jpg,Tomato,keep,Kiwi,1,conflict,"):
            lines[number] = line.replace(",keep,", ",relabel,")
        elif line.startswith("Lemon/x.jpg,Lemon,keep,,1,leakage,"):
            lines[number] = line.replace(",keep,", ",remove,")
    (folder / "fixes.csv").write_text("\n".join(lines), encoding="utf-8")
    assert run(["review", "s", "--output", "fixes.csv"]) == 2
    assert "somebody may have edited it" in capsys.readouterr().err
    words = shlex.split(printed)
    assert run([*words[words.index("train") :], "--json"]) == 0  # As it was printed.
    said = capsys.readouterr()
    assert "labels: fixes.csv relabels 1 image and leaves 1 out" in said.err
    trained = json.loads(said.out)
    assert trained["counts"]["train"] == 19
    assert trained["metrics"]["test"]
    assert run(["review", "s", "--output", "more.csv"]) == 0  # Its table repeats what was corrected.
    again = shlex.split(capsys.readouterr().out.rstrip().splitlines()[-1])
    assert again == ["more.csv" if word == "fixes.csv" else word for word in words]
    assert run(["review", "s", "--test", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["output"] is None
    assert found["images"] == {"training": 19, "validation": 0, "test": 0}
    assert found["counts"]["conflict"] == found["counts"]["leakage"] == 0
    assert {"path": "Lemon/x.jpg", "given": "Lemon"}.items() <= found["findings"][-1].items()
    (folder / "fixes.csv").write_text("path,label\nTomato/y.jpg,Kiwi\n")
    assert run([*train, "--labels", "fixes.csv"]) == 1
    assert "fixes.csv: line 2 names 'Tomato/y.jpg', which is not among the images" in capsys.readouterr().err


def test_lines_are_few_and_fit() -> None:
    findings = [
        Finding(path=f"a\x1b/{number}.jpg", label="a", reason=Reason.LABEL_ERROR, confidence=0.9, suggested="b" * 90)
        for number in range(7)
    ]
    report = ReviewReport(
        url="s",
        findings=(*findings, Finding(path="c", label="", reason=Reason.CORRECTED, confidence=1.0, given="a")),
        images={"training": 70, "validation": 0, "test": 1},
        accuracy=None,
        unjudged=("odd",),
        similarity=0.8,
        skipped=tuple((f"{number}.jpg", "torn") for number in range(6)),
    )
    lines = report_lines(report, 60)
    assert all(len(line) <= 72 for line in lines)
    assert lines[:2] == ["images: 70 training, 1 test", "labels not judged, too few different images: odd"]
    assert "skipped 1 further test image; --json names all" in lines
    assert [line for line in lines if line.startswith("  a\\x1b/")][-1].endswith("...")
    assert "  and 2 more" in lines
    assert lines[-1] == "  c: left out"
    assert repr(report) == "<ReviewReport of 71 images: 7 label-error, 1 corrected>"
