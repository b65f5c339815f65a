"""What the plots share: a figure without global state, labels that any text can be, and writing to any store."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.errors import InvalidParameter, UsageError
from mlsession.export.write import write_atomically
from mlsession.store import redact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 150
INK = "#333333"
FAINT = "#dddddd"
WIDE_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans CJK KR",
    "Source Han Sans",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "IPAexGothic",
    "Noto Sans",
    "Noto Emoji",
    "Symbola",
    "Arial Unicode MS",
)
"""Fonts for letters that matplotlib's own has not; the first of those installed that has a letter draws it."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, outside of pyplot. Raises `UsageError` where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed; pip install 'mlsession[plots]'") from error
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")


def tidy(axes: Axes) -> None:
    """Takes away the lines of a plot that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK)


def show_as_is(*texts: Text) -> None:
    """Labels are text, not mathematics, and may be in any script."""
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    families = ["DejaVu Sans", *(name for name in WIDE_FONTS if name in known)]
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(families)


def short_label(label: str, columns: int) -> str:
    """A label in one line of at most `columns` (wide letters take two), without what cannot be printed."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in label)
    if sum(map(_columns, clean)) <= columns:
        return clean
    kept, width = "", 1
    for letter in clean:
        width += _columns(letter)
        if width > columns:
            break
        kept += letter
    return f"{kept}\N{HORIZONTAL ELLIPSIS}"


def save_figure(figure: Figure, path: str | Path | None, storage_options: Mapping[str, object] | None = None) -> None:
    """Writes a figure, atomically, to a path or URL that ends in .png, .svg or .pdf; None: nowhere.

    Raises `InvalidParameter` for another ending, and `StoreError`.
    """
    if path is None:
        return
    buffer, kind = io.BytesIO(), check_path(path)
    with warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box; that is no reason to fail where warnings are errors.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        figure.savefig(buffer, format=kind, metadata=None if kind == "png" else _UNDATED[kind])
    write_atomically(str(path), buffer.getvalue(), storage_options)


def check_path(path: str | Path) -> str:
    """The format that a path ends in. Raises `InvalidParameter` for another."""
    ending = str(path).rpartition(".")[2].lower()
    if ending not in FORMATS:
        raise InvalidParameter("path", redact(str(path)), f"must end in {', '.join(f'.{name}' for name in FORMATS)}")
    return ending


_UNDATED: Mapping[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
