"""The confusion matrix as a picture: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import UsageError
from mlsession.plots.figure import FAINT, INK, check_path, new_figure, save_figure, short_label, show_as_is

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from mlsession.metrics.report import ClassifierMetrics
    from mlsession.session.phase import Array

MOST_NAMES = 120
"""Classes up to which each is named; of more the axes only count."""
MOST_SLANTED = 12
"""Classes up to which long names slant; those of more stand upright."""
LONGEST_NAME = 28
"""Columns of a name, before it is cut."""
SMALLEST_PRINT = 5.0
"""Points: figures in cells that would be smaller are left out."""
POINTS_PER_INCH = 72.0


def plot_confusion(
    metrics: ClassifierMetrics,
    path: str | Path | None = None,
    *,
    normalize: bool = False,
    storage_options: Mapping[str, object] | None = None,
) -> Figure:
    """Draws a confusion matrix, true classes by row, predicted ones by column; also writes it if there is a `path`.

    Cells show images, or with `normalize` the share of the row's images; those without any are empty. The path or URL
    ends in .png, .svg or .pdf. Raises `UsageError` where nothing was evaluated or there is no matplotlib,
    `InvalidParameter` for another ending, and `StoreError`.
    """
    if path is not None:
        check_path(path)
    if not metrics.count:
        raise UsageError(f"there is no confusion matrix to plot: {metrics.summary}")
    counts, rows = metrics.confusion_matrix, metrics.class_counts[:, np.newaxis]
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    shown = shares if normalize else counts
    texts = [[_percent(value) if normalize else str(value) for value in row] for row in shown.tolist()]
    cell = _cell_inches(len(counts))
    points = _print_size([texts[row][column] for row, column in np.argwhere(counts).tolist()], cell)
    extent = cell * len(counts)
    figure = new_figure(extent + (2.6 if points else 4.0), extent + 2.2)
    axes = figure.subplots()
    cells = np.where(counts > 0, shown.astype(np.float64), np.nan)
    image = _draw_cells(axes, cells, 1.0 if normalize else float(counts.max()))
    if points:
        _annotate(axes, texts, shown / shown.max(), points)
    else:
        figure.colorbar(image, ax=axes, shrink=0.5, pad=0.02, format="{x:.0%}" if normalize else "{x:,.0f}")
    _name_axes(axes, metrics.classes, cell)
    title = f"{int(np.trace(counts)):,} of {metrics.count:,} images predicted correctly"
    axes.set_title(f"{title}; cells: % of the row" if normalize else title, color=INK, fontsize=_size(extent), pad=10)
    save_figure(figure, path, storage_options)
    return figure


def _cell_inches(size: int) -> float:
    """Large cells while there are few; no picture wider than about 24 inches."""
    return min(max(6.0 / size, 0.24), 0.9, 20.0 / size)


def _print_size(texts: Sequence[str], cell: float) -> float:
    """Points in which all texts fit into cells of `cell` inches; 0 where that is too small to read."""
    room, longest = cell * POINTS_PER_INCH, max(map(len, texts))
    points = min(0.85 * room / (0.64 * longest), 0.5 * room, 11.0)
    return points if points >= SMALLEST_PRINT else 0.0


def _percent(share: float) -> str:
    """Never "0" for some nor "100" for not all."""
    if 0.0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1.0 else f"{100 * share:.0f}"


def _size(extent: float) -> float:
    """Points of words around a matrix of `extent` inches."""
    return min(max(10.0, 0.9 * extent), 16.0)


def _draw_cells(axes: Axes, shown: Array, top: float) -> AxesImage:
    """float [K, K], NaN where a cell is empty: the darker the more.

    Darkness goes with the square root, and the least is not white: one mistake among thousands must be seen.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, PowerNorm

    colours = ListedColormap(colormaps["Blues"](np.linspace(0.12, 1.0, 256)))
    return axes.imshow(shown, cmap=colours, norm=PowerNorm(0.5, 0.0, top), interpolation="nearest", aspect="equal")


def _annotate(axes: Axes, texts: list[list[str]], strength: Array, points: float) -> None:
    """Writes a figure into each cell that is not empty."""
    for row, column in np.argwhere(strength).tolist():
        colour = "white" if strength[row, column] > 0.3 else INK
        axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=points, color=colour)


def _name_axes(axes: Axes, classes: tuple[str, ...], cell: float) -> None:
    size = len(classes)
    axes.set_xlabel("predicted", color=INK, fontsize=_size(cell * size))
    axes.set_ylabel("true", color=INK, fontsize=_size(cell * size))
    axes.spines[:].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, length=0)
    if size > MOST_NAMES:
        return
    names = [short_label(name, LONGEST_NAME) for name in classes]
    points = min(cell * POINTS_PER_INCH * 0.72, 10.0)
    is_narrow = max(map(len, names)) * 0.62 * points > cell * POINTS_PER_INCH
    axes.set_xticks(range(size), names, fontsize=points)
    axes.set_yticks(range(size), names, fontsize=points)
    if is_narrow and size <= MOST_SLANTED:
        axes.tick_params(axis="x", labelrotation=45)
        for text in axes.get_xticklabels():
            text.set(horizontalalignment="right", rotation_mode="anchor")
    elif is_narrow:
        axes.tick_params(axis="x", labelrotation=90)
    show_as_is(*axes.get_xticklabels(), *axes.get_yticklabels())
