"""All of a folder of odd image files, where there is one: MLSESSION_ODD_IMAGES names it.

Its `expected.csv` says of each file `folder`, `file`, `outcome` (read, reject, skip, either), and where it is read
`width` and `height` upright, `corners` (yes for `pictures.scene`), and `mean`, the grey level.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.data.names import IMAGE_SUFFIXES, is_hidden
from mlsession.errors import UnreadableImage
from mlsession.images.decode import prepare_image
from tests.images.pictures import CORNERS, corners

FOLDER = os.environ.get("MLSESSION_ODD_IMAGES")


def rows() -> list[dict[str, str]]:
    if FOLDER is None:
        return []
    with (Path(FOLDER) / "expected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(FOLDER is None, reason="set MLSESSION_ODD_IMAGES to a folder of odd images and their expected.csv")
@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['folder']}/{row['file']}")
def test_row(row: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    path = Path(FOLDER or "") / row["folder"] / row["file"]
    if row["outcome"] == "skip":
        assert is_hidden(path.name) or path.suffix.lower() not in IMAGE_SUFFIXES
    if row["outcome"] in ("reject", "skip"):
        check_refused(path)
    else:
        try:
            pixels = ml.read_image(path)
        except UnreadableImage:
            assert row["outcome"] == "either"
            check_refused(path)
        else:
            check_read(row, pixels)
            assert prepare_image(path.read_bytes(), "a", 64).shape == (64, 64, 3)
    assert capfd.readouterr().err == ""


def check_refused(path: Path) -> None:
    with pytest.raises(UnreadableImage) as caught:
        ml.read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in caught.value.reason


def check_read(row: dict[str, str], pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    if row["width"]:
        assert pixels.shape == (int(row["height"]), int(row["width"]), 3)
    if row["corners"] == "yes":
        assert np.abs(corners(pixels) - CORNERS).max() <= 70
    if row["mean"]:
        assert abs(float(pixels.mean()) - float(row["mean"])) <= 3
