"""A contact sheet: pictures and their views side by side, with what was done, to judge ranges by eye."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

MOST_ABREAST = 8
"""Views in a line; more are spread over several of equal length, under the first."""
_TILE = 192
_GAP = 14
_MARGIN = 28
_TEXT = 14
_CAPTION = 24
_TITLE = 20
_INK = (32, 32, 36)
_GREY = (104, 104, 112)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One picture with its views."""

    name: str
    """What stands under the picture itself."""
    pictures: Sequence[npt.NDArray[np.uint8]]
    """uint8 [side, side, 3], the picture itself first."""
    captions: Sequence[str]
    """What stands under each view after the first."""


def contact_sheet(title: str, rows: Sequence[SheetRow]) -> bytes:
    """A PNG with a line for each picture, or several where it has many views; all rows have as many views."""
    views = len(rows[0].captions)
    lines = max(-(-views // MOST_ABREAST), 1)
    columns = 1 + -(-views // lines)
    block = lines * (_TILE + _CAPTION) + (lines - 1) * _GAP // 2
    top = _MARGIN + _TITLE + _MARGIN // 2 + _GAP // 2
    width = 2 * _MARGIN + columns * _TILE + (columns - 1) * _GAP
    height = top + len(rows) * block + (len(rows) - 1) * 2 * _GAP + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), _fitted(title, _TITLE, width - 2 * _MARGIN), _INK, ImageFont.load_default(_TITLE))
    for number, row in enumerate(rows):
        upper = top + number * (block + 2 * _GAP)
        for (column, line), pixels, caption in zip(
            _places(columns), row.pictures, (row.name, *row.captions), strict=False
        ):
            left = _MARGIN + column * (_TILE + _GAP)
            place = left, upper + line * (_TILE + _CAPTION + _GAP // 2)
            sheet.paste(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS), place)
            ink = _GREY if column else _INK
            draw.text((left, place[1] + _TILE + 4), _fitted(caption, _TEXT, _TILE), ink, ImageFont.load_default(_TEXT))
    encoded = io.BytesIO()
    sheet.save(encoded, format="PNG", optimize=True)
    return encoded.getvalue()


def _places(columns: int) -> Iterator[tuple[int, int]]:
    """(column, line) of each picture: the first column is the original's alone."""
    yield 0, 0
    line = 0
    while columns > 1:
        yield from ((column, line) for column in range(1, columns))
        line += 1


def _fitted(text: str, size: int, width: int) -> str:
    """Text, cut with an ellipsis at its front where it is wider than `width` pixels: of a path the end tells most."""
    font = ImageFont.load_default(size)
    if font.getlength(text) <= width:
        return text
    start = next(start for start in range(1, len(text) + 1) if font.getlength(f"...{text[start:]}") <= width)
    return f"...{text[start:]}"
