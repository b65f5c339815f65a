"""The course of trainings of one iteration and of many."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mlsession.errors import InvalidParameter, UsageError
from mlsession.plots.history import plot_history


def history(count: int, validation: bool = True) -> dict[str, list[float]]:
    falling = [1.0 / place for place in range(1, count + 1)]
    found = {"loss": falling, "accuracy": [1.0 - value / 2 for value in falling]}
    if validation:
        found |= {"validation_loss": [value + 0.1 for value in falling], "validation_accuracy": [0.5] * count}
    return found


@pytest.mark.parametrize("count", [1, 2, 25, 500])
@pytest.mark.parametrize("validation", [True, False])
def test_both_panels_show_every_iteration(count: int, validation: bool, tmp_path: Path) -> None:
    given = history(count, validation)
    figure = plot_history(given, tmp_path / "h.png")
    series = ["training", "validation"] if validation else ["training"]
    for axes, metric in zip(figure.axes, ("accuracy", "loss"), strict=True):
        assert [line.get_label() for line in axes.lines] == series
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == series
        low, high = axes.get_ylim()
        for line, prefix in zip(axes.lines, ("", "validation_"), strict=False):
            across, up = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
            assert across.tolist() == list(range(1, count + 1))
            assert up.tolist() == given[f"{prefix}{metric}"]
            assert low <= up.min() <= up.max() <= high
        ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
        assert ticks
        assert all(tick == int(tick) >= 1 for tick in ticks)
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_values_that_are_no_numbers_leave_a_gap() -> None:
    left, right = plot_history({"accuracy": [0.5, math.nan, 0.75], "loss": [math.inf, 1.0, 0.5]}).axes
    assert left.get_ylim()[0] < 0.5
    assert right.get_ylim() == pytest.approx((0.0, 1.06))


def test_perfect_from_the_start() -> None:
    left, right = plot_history({"accuracy": [1.0] * 3, "loss": [0.0] * 3}).axes
    assert left.get_ylim() == pytest.approx((0.89, 1.0))
    assert right.get_ylim() == (0.0, 1.0)


def test_anything_with_a_history_will_do() -> None:
    class Trained:
        @property
        def history(self) -> dict[str, list[float]]:
            return history(3)

    assert len(plot_history(Trained()).axes) == 2


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no history"):
        plot_history({})
    with pytest.raises(UsageError, match="no history"):
        plot_history({"accuracy": [], "loss": []})
    with pytest.raises(InvalidParameter, match=r"h\.txt"):
        plot_history(history(2), tmp_path / "h.txt")
