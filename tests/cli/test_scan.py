"""`mlsession scan`: what it says, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten of each label to train on and two to test on; one of these is one to train on."""
    copy_photos(tmp_path / "train", "train", 10, LABELS)
    copy_photos(tmp_path / "test", "test", 2, LABELS)
    shutil.copy(sorted((tmp_path / "test" / "Kiwi").iterdir())[0], tmp_path / "train" / "Kiwi" / "again.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("photos")
def test_findings_in_text_json_and_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "train", "--test", "test", "--html", "page.html"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[:4] == [
        "label  training  test",
        "Kiwi         11     2",
        "Lemon        10     2",
        "all          21     4",
    ]
    assert "error: 1 test image is among the training images, too, byte for byte" in said.out
    assert lines[-1] == "scanned 25 images: 1 error, 1 note"
    assert said.err == "wrote page.html\n"
    assert "leaked_images" in Path("page.html").read_text(encoding="utf-8")
    assert run(["scan", "train", "--test", "test", "--json", "--fail-on", "error"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["training"]["Kiwi"] == {"listed": 11, "readable": 11}
    assert [(each["kind"], each["count"]) for each in found["findings"]] == [("leaked_images", 2), ("small_classes", 0)]
    images = found["findings"][0]["images"]
    assert [(image["source"], image["group"], image["label"]) for image in images] == [
        ("test", 0, "Kiwi"),
        ("training", 0, "Kiwi"),
    ]


@pytest.mark.parametrize(
    ("rule", "code"),
    [("error", 0), ("note", 3), ("tiny_classes", 0), ("tiny_classes, small_classes", 3)],
)
@pytest.mark.usefixtures("photos")
def test_what_to_fail_on(rule: str, code: int) -> None:
    shutil.rmtree("train/Kiwi")
    copy_photos(Path("few"), "train", 10, ("Kiwi",))
    Path("few/Kiwi").rename("train/Kiwi")
    assert run(["scan", "train", "--fail-on", rule]) == code


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--fail-on", "bad"], "fail-on='bad': must be error, warning or note, or kinds out of: blank_images,"),
        (["--input-side", "0"], "--input-side=0: must be"),
        (["--html", "nowhere://x/page.html"], "nowhere"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_wrong_use(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "train", *words]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""


def test_a_page_that_could_not_be_written_is_refused_before_any_image_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["scan", "nowhere", "--html", "a:b.html"]) == 2
    assert "a:b.html" in capsys.readouterr().err
