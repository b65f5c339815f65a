"""The course of a training: accuracy and loss by iteration, on training and on validation images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlsession.errors import UsageError
from mlsession.plots.figure import FAINT, INK, check_path, new_figure, save_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = (("training", "", "#0072b2", "o"), ("validation", "validation_", "#d55e00", "s"))
"""Name, prefix in the history, colour and mark; blue and vermillion of M. Okabe and K. Ito's palette for all eyes."""
MOST_MARKS = 60
"""Iterations up to which each has a mark of its own."""


class HasHistory(Protocol):
    """A `TrainingSession`, a `Classifier`, or anything else with metrics by iteration."""

    @property
    def history(self) -> Mapping[str, Sequence[float]]: ...


def plot_history(
    source: HasHistory | Mapping[str, Sequence[float]],
    path: str | Path | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
) -> Figure:
    """Draws the course of a training, of a session, a classifier, or a history itself; also writes it to a `path`.

    A history has `accuracy` and `loss`, and with validation images `validation_accuracy` and `validation_loss`, one
    value an iteration. The path or URL ends in .png, .svg or .pdf. Raises `UsageError` where there is no history or
    no matplotlib, `InvalidParameter` for another ending, and `StoreError`.
    """
    if path is not None:
        check_path(path)
    history = source if isinstance(source, Mapping) else source.history
    if not any(history.get(f"{prefix}{name}") for _, prefix, _, _ in SERIES for name in ("accuracy", "loss")):
        raise UsageError("there is no history to plot: no iteration of training has been recorded")
    figure = new_figure(10.0, 4.0)
    left, right = figure.subplots(1, 2)
    _panel(left, "Accuracy", "accuracy", history)
    _panel(right, "Loss", "loss", history)
    _scale_accuracy(left, _finite("accuracy", history))
    right.set_ylim(0.0, 1.06 * max(_finite("loss", history), default=1.0) or 1.0)
    save_figure(figure, path, storage_options)
    return figure


def _panel(axes: Axes, title: str, metric: str, history: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    count = 1
    for name, prefix, colour, mark in SERIES:
        values = history.get(f"{prefix}{metric}", ())
        if not values:
            continue
        count = max(count, len(values))
        axes.plot(
            range(1, len(values) + 1),
            values,
            label=name,
            color=colour,
            linewidth=1.6,
            marker=mark if len(values) <= MOST_MARKS else None,
            markersize=3.5 if len(values) > 1 else 7,
            clip_on=False,
        )
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_xlabel("iteration", color=INK)
    if count > 1:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlim(1, count)
    else:
        axes.set_xticks([1])
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    tidy(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK)


def _scale_accuracy(axes: Axes, values: Sequence[float]) -> None:
    """From a little below the lowest value to 100 %; never so close that noise looks like progress."""
    from matplotlib.ticker import PercentFormatter

    room = max(1.0 - min(values, default=0.0), 0.1)
    axes.set_ylim(max(1.0 - 1.1 * room, 0.0), 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=0))


def _finite(metric: str, history: Mapping[str, Sequence[float]]) -> list[float]:
    """What both series have to show."""
    values = [value for _, prefix, _, _ in SERIES for value in history.get(f"{prefix}{metric}", ())]
    return [value for value in values if math.isfinite(value)]
