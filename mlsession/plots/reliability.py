"""Whether confidence can be taken at its word, as a picture: accuracy against confidence, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.errors import UsageError
from mlsession.plots.figure import FAINT, INK, check_path, new_figure, save_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlsession.metrics.calibration import ReliabilityBin
    from mlsession.metrics.report import ClassifierMetrics

BLUE = "#0072b2"


def plot_reliability(
    metrics: ClassifierMetrics,
    path: str | Path | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
) -> Figure:
    """Draws a reliability diagram (A. Niculescu-Mizil and R. Caruana, "Predicting good probabilities with supervised
    learning", ICML 2005): the accuracy of each bin of confidences with its 95 % interval, and how many images are in
    it. Also writes it if there is a `path`.

    Dots on the diagonal: of the images with a confidence of 80 %, 80 % are right. Below it the classifier is surer
    than it should be. The path or URL ends in .png, .svg or .pdf. Raises `UsageError` where confidences are not known
    or there is no matplotlib, `InvalidParameter` for another ending, and `StoreError`.
    """
    if path is not None:
        check_path(path)
    bins = [each for each in metrics.reliability_bins if each.count]
    if not bins:
        raise UsageError(f"there are no confidences to plot: {metrics.summary}")
    figure = new_figure(6.4, 7.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    _draw_accuracies(upper, bins)
    error, chance = metrics.expected_calibration_error, metrics.chance_calibration_error
    title = f"calibration error {error:.3f} on {metrics.count:,} images; up to {chance:.3f} would be chance"
    upper.set_title(title, loc="left", color=INK, fontsize=11)
    _draw_counts(lower, bins)
    save_figure(figure, path, storage_options)
    return figure


def _draw_accuracies(axes: Axes, bins: list[ReliabilityBin]) -> None:
    from matplotlib.ticker import PercentFormatter

    confidences, accuracies = [each.confidence for each in bins], [each.accuracy for each in bins]
    ends = [each.accuracy_interval for each in bins]
    below = [max(value - low, 0.0) for value, (low, _) in zip(accuracies, ends, strict=True)]
    above = [max(high - value, 0.0) for value, (_, high) in zip(accuracies, ends, strict=True)]
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1.0, linestyle="--", label="confidence = accuracy")
    axes.errorbar(
        confidences,
        accuracies,
        yerr=[below, above],
        fmt="o",
        color=BLUE,
        ecolor=BLUE,
        elinewidth=1.1,
        capsize=2.5,
        markersize=5,
        label="accuracy, 95 % interval",
        clip_on=False,
    )
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy", color=INK)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=0))
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    tidy(axes)
    axes.legend(frameon=False, labelcolor=INK, loc="best")


def _draw_counts(axes: Axes, bins: list[ReliabilityBin]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.bar(
        [each.low for each in bins],
        [each.count for each in bins],
        width=[each.high - each.low for each in bins],
        align="edge",
        color=BLUE,
        alpha=0.35,
        edgecolor="white",
    )
    axes.set_xlim(0, 1)
    axes.set_xlabel("confidence", color=INK)
    axes.set_ylabel("images", color=INK)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    tidy(axes)
