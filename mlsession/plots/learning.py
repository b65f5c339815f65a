"""The learning curve by number of images: what was measured, and what more images are expected to bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.plots.figure import FAINT, INK, check_path, new_figure, save_figure, short_label, show_as_is, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlsession.curves.curve import LearningCurve

MEASURED, EXPECTED = "#0072b2", "#d55e00"
"""Blue and vermillion of M. Okabe and K. Ito's palette for all eyes."""
CLASS_COLOURS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the classes that are drawn, from the same palette."""
LONGEST_NAME = 24
NORMAL = 1.645
"""Standard errors to either side that hold 90 %."""


def plot_learning_curve(
    curve: LearningCurve,
    path: str | Path | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
) -> Figure:
    """Draws accuracy, and the recall of a few classes, by number of images; also writes it if there is a `path`.

    Bars and bands hold 90 %. The classes are those with the lowest recall. The path or URL ends in .png, .svg or
    .pdf. Raises `UsageError` where there is no matplotlib, `InvalidParameter` for another ending, and `StoreError`.
    """
    if path is not None:
        check_path(path)
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    _accuracy(left, curve)
    _recalls(right, curve)
    for axes in (left, right):
        _finish(axes)
    save_figure(figure, path, storage_options)
    return figure


def _accuracy(axes: Axes, curve: LearningCurve) -> None:
    images = [point.images for point in curve.points]
    axes.errorbar(
        images,
        [point.accuracy for point in curve.points],
        yerr=[NORMAL * point.accuracy_error for point in curve.points],
        color=MEASURED,
        marker="o",
        markersize=4,
        linewidth=1.6,
        capsize=2.5,
        label="measured",
    )
    expected = [(curve.images, curve.now), *((each.images, each.accuracy) for each in curve.projections)]
    counts = [count for count, _ in expected]
    axes.fill_between(
        counts,
        [found.low for _, found in expected],
        [found.high for _, found in expected],
        color=EXPECTED,
        alpha=0.15,
        linewidth=0,
    )
    axes.plot(
        counts,
        [found.value for _, found in expected],
        color=EXPECTED,
        marker="s",
        markersize=4,
        linewidth=1.6,
        linestyle="--",
        label="expected",
    )
    axes.set_title("Accuracy", loc="left", color=INK, fontsize=11)
    axes.axvline(curve.images, color=FAINT, linewidth=1.2, zorder=0)
    axes.annotate(
        "now",
        (curve.images, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -10),
        textcoords="offset points",
        color=INK,
        fontsize=8,
    )
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")


def _recalls(axes: Axes, curve: LearningCurve) -> None:
    last = curve.points[-1].recall
    lowest = sorted(range(len(last)), key=lambda place: (last[place], place))[: len(CLASS_COLOURS)]
    for place, colour in zip(lowest, CLASS_COLOURS, strict=False):
        axes.plot(
            [point.images for point in curve.points],
            [point.recall[place] for point in curve.points],
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=1.4,
            label=short_label(curve.classes[place], LONGEST_NAME),
        )
    axes.set_title("Recall of the hardest classes", loc="left", color=INK, fontsize=11)
    legend = axes.legend(frameon=False, labelcolor=INK, loc="lower right", fontsize=8)
    show_as_is(*legend.get_texts())


def _finish(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=None))
    low, _ = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), 1.0)
    axes.set_xlabel("training images", color=INK)
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    tidy(axes)
