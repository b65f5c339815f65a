"""`--augment`, and the sheet that shows what it does."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.cli.options.arguments import augmentation
from mlsession.errors import InvalidParameter
from mlsession.store import open_store


def sheet(data: Path, output: Path | str, *words: str) -> int:
    return run(["augment-preview", str(data), "--augment", "flip,rotate", "--output", str(output), *words])


def test_the_sheet_shows_pictures_and_their_views(
    fruits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "sheet.png"
    assert sheet(fruits / "train", output, "--images", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(output)
    assert found["views"] == 6
    assert [name.split("/")[0] for name in found["images"]] == ["Kiwi", "Lemon", "Tomato"]
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        assert picture.width > 6 * 190


def test_the_sheet_is_the_same_again_and_another_with_another_seed(fruits: Path, tmp_path: Path) -> None:
    for name, seed in (("one", "4"), ("two", "4"), ("other", "5")):
        assert sheet(fruits / "train", tmp_path / f"{name}.png", "--images", "2", "--seed", seed) == 0
    one, two, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


def test_pictures_that_cannot_be_read_are_named_and_left_out(
    fruits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sheet(fruits / "train", tmp_path / "sheet.png", "--images", "40") == 0
    found = capsys.readouterr()
    assert "wrote" in found.out
    assert "12 images with 5 views each" in found.out
    assert "skipped Kiwi/torn.jpg: " in found.err


def test_the_sheet_goes_to_any_store(fruits: Path) -> None:
    assert sheet(fruits / "train", "memory://sheets/sheet.png", "--images", "1") == 0
    store = open_store("memory://sheets")
    assert Image.open(io.BytesIO(store.get("sheet.png"))).format == "PNG"
    store.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--images", "0"), "must be a whole number from 1 to 40"),
        (("--augment", "spin"), "must be one of blur, crop"),
        (("--augment", ""), "must be one of"),
        (("--augment", "auto,flip,-crop"), "either names what to choose from"),
        (("--output", "sheet.jpg"), "let the name end in .png"),
    ],
)
def test_wrong_use_is_refused(
    fruits: Path, tmp_path: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sheet(fruits / "train", tmp_path / "sheet.png", *words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_names_on_the_command_line() -> None:
    assert augmentation("flip, rotate") == (ml.Flip(), ml.Rotate())
    assert augmentation("flip,flip-vertical") == (ml.Flip(vertical=True),)
    assert augmentation("auto") == ml.AutomaticAugmentation()
    assert augmentation("auto, -flip-vertical") == ml.AutomaticAugmentation(exclude={"flip-vertical"})
    with pytest.raises(InvalidParameter):
        augmentation("flip,,rotate")


def test_train_takes_augmentation_and_the_session_keeps_it(
    fruits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = str(tmp_path / "session")
    line = ["train", str(fruits / "train"), "--session", session, "--iterations", "3"]
    assert run([*line, "--augment", "flip"]) == 0
    assert "views 2" in capsys.readouterr().err
    with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as stored:
        assert stored.identity.parameters["augmentation"] == [ml.Flip().to_json()]
    assert run(line) == 1
    assert "--augment was " in capsys.readouterr().err
    assert run([*line, "--augment", "flip"]) == 0
