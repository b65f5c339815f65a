"""The contact sheet: every picture is there once, in its place, with its words beneath."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mlsession.augment.sheet import SheetRow, contact_sheet

from .pictures import Pixels

SIDE = 64


def sheet_of(rows: int, views: int, name: str = "name") -> Pixels:
    """A sheet of plain pictures: red tells the row, green the view, blue is 0 (paper and ink have blue in them)."""

    def picture(row: int, view: int) -> Pixels:
        return np.broadcast_to(np.array([10 * row + 50, 5 * view + 50, 0], dtype=np.uint8), (SIDE, SIDE, 3))

    made = [
        SheetRow(
            name=name,
            pictures=[np.ascontiguousarray(picture(row, view)) for view in range(views + 1)],
            captions=[f"view {view}" for view in range(1, views + 1)],
        )
        for row in range(rows)
    ]
    return np.asarray(Image.open(io.BytesIO(contact_sheet("title", made))))


def boxes(sheet: Pixels) -> dict[tuple[int, int], tuple[int, int, int]]:
    """(row, view) of each picture: its left and upper edge, and how many pixels it has."""
    found = {}
    colours = np.where(sheet[..., 2] == 0, sheet[..., 0].astype(np.int32) * 256 + sheet[..., 1], -1)
    for colour in sorted(set(np.unique(colours).tolist()) - {-1}):
        red, green = divmod(colour, 256)
        upper, left = np.nonzero(colours == colour)
        assert len(upper) == (np.ptp(upper) + 1) * (np.ptp(left) + 1)  # One whole rectangle.
        found[(red - 50) // 10, (green - 50) // 5] = (int(left.min()), int(upper.min()), len(upper))
    return found


@pytest.mark.parametrize(("rows", "views", "columns"), [(1, 1, 2), (3, 5, 6), (2, 9, 6), (2, 23, 9)])
def test_every_picture_is_there_once_beside_its_original(rows: int, views: int, columns: int) -> None:
    sheet = sheet_of(rows, views)
    found = boxes(sheet)
    assert set(found) == {(row, view) for row in range(rows) for view in range(views + 1)}
    assert len({size for _, _, size in found.values()}) == 1
    assert len({left for left, _, _ in found.values()}) == columns
    originals = {found[row, 0][0] for row in range(rows)}
    assert originals == {min(left for left, _, _ in found.values())}
    assert [
        row for row in range(rows) if found[row, 0][0] in {found[row, view][0] for view in range(1, views + 1)}
    ] == []
    tops = [found[row, 0][1] for row in range(rows)]
    assert tops == sorted(tops)
    border = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]])
    assert (border == 255).all()


def test_words_stand_under_their_picture_and_never_leave_its_width() -> None:
    sheet = sheet_of(1, 2, name="a/very/long/path/that/would/reach/far/into/its/neighbour.jpg")
    found = boxes(sheet)
    below = max(upper for _, upper, _ in found.values()) + 192
    ink = np.nonzero((sheet[below:] < 160).all(axis=2))[1]
    for left, _, _ in found.values():
        assert ((ink >= left) & (ink < left + 192)).any()
    inside = np.any([(ink >= left) & (ink < left + 192) for left, _, _ in found.values()], axis=0)
    assert inside.all()
