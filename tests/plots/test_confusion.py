"""Confusion matrices of few and many classes, with labels of any kind."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlsession.errors import InvalidParameter, UsageError
from mlsession.metrics.report import ClassifierMetrics
from mlsession.plots.confusion import MOST_NAMES, plot_confusion
from mlsession.randomness import keyed_generator


def metrics(labels: tuple[str, ...], most: int = 40) -> ClassifierMetrics:
    generator = keyed_generator(len(labels), "matrix")
    matrix = np.diag(generator.integers(1, most, len(labels)))
    matrix[0, -1] += 1
    return ClassifierMetrics(classes=labels, confusion_matrix=matrix.astype(np.int64), log_loss=0.5)


def named(count: int) -> tuple[str, ...]:
    return tuple(f"class {place:03}" for place in range(count))


@pytest.mark.parametrize("count", [1, 2, 12, 60])
def test_every_cell_that_is_not_empty_says_its_count(count: int) -> None:
    report = metrics(named(count))
    (axes,) = plot_confusion(report).axes
    shown = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    rows, columns = np.nonzero(report.confusion_matrix)
    assert shown == {
        (row, column): str(report.confusion_matrix[row, column])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    }
    for axis in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [text.get_text() for text in axis] == list(report.classes)


def test_where_figures_do_not_fit_a_scale_stands_beside() -> None:
    axes, scale = plot_confusion(metrics(named(90), 50_000)).axes
    assert not axes.texts
    assert scale.get_yticklabels()
    many, _ = plot_confusion(metrics(named(MOST_NAMES + 1), 50_000)).axes
    assert "class 000" not in [text.get_text() for text in many.get_xticklabels()]


def test_normalized_cells_are_shares_of_their_row() -> None:
    matrix = np.array([[1, 399, 0], [1, 3, 0], [0, 0, 0]], dtype=np.int64)
    (axes,) = plot_confusion(
        ClassifierMetrics(classes=("a", "b", "c"), confusion_matrix=matrix, log_loss=0.5), normalize=True
    ).axes
    assert [text.get_text() for text in axes.texts] == ["<1", ">99", "25", "75"]


@pytest.mark.parametrize(
    "labels",
    [
        ("$x_1$", "a$", "100 %_{"),
        ("猫のラベル", "🍎 apple", "تفاح"),
        ("a label that goes on and on and on and on", "two\nlines\x1b", "\ud800"),
    ],
)
def test_labels_may_be_anything(labels: tuple[str, ...], tmp_path: Path) -> None:
    # Warnings are errors here: letters without a font give one if nobody looks after them.
    plot_confusion(metrics(labels), tmp_path / "c.png")
    with Image.open(io.BytesIO((tmp_path / "c.png").read_bytes())) as picture:
        assert picture.width < 2000
        assert picture.height < 2000


@pytest.mark.parametrize(("name", "start"), [("c.png", b"\x89PNG"), ("c.SVG", b"<?xml"), ("c.pdf", b"%PDF")])
def test_is_written_to_any_store(name: str, start: bytes, tmp_path: Path) -> None:
    path = (tmp_path / "new" / name).as_uri()
    figure = plot_confusion(metrics(named(2)), path)
    assert (tmp_path / "new" / name).read_bytes().startswith(start)
    assert len(figure.axes) == 1


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no test metrics"):
        plot_confusion(ClassifierMetrics.invalid("there are no test metrics"))
    with pytest.raises(InvalidParameter, match=r"\.png, \.svg, \.pdf"):
        plot_confusion(metrics(named(2)), tmp_path / "c.jpg")
    assert not list(tmp_path.iterdir())
