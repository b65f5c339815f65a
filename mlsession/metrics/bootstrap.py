"""Intervals of figures for which there is no closed form, by drawing images anew; pure, and the same at each call.

B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), with two changes where few images would make
it too sure of itself. Two right and two wrong images of classes that have images are added before drawing, as A.
Agresti and B. A. Coull, "Approximate is better than 'exact' for interval estimation of binomial proportions" (1998), do
for one share: else a classifier without mistakes among 20 images would be certain never to make one. And the
percentiles are moved by the mean error of the redrawn figures, which small classes and absolute values make one-sided.
docs/metrics.md has the shares of intervals that held what was true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.metrics.calibration import CONFIDENCE_UNIT, expected_calibration_error
from mlsession.metrics.intervals import UNKNOWN, Interval, wilson_interval
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array

REPLICATES = 1000
FEWEST_REPLICATES = 200
_MOST_CELLS = 2_000_000
"""Of all replicates together: time and memory stay bounded with thousands of classes."""
_SEED = 0
_ADDED = 2
"""Right and wrong images that are added, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroIntervals:
    """95 % intervals of figures that are means over classes."""

    balanced_accuracy: Interval
    f1_macro: Interval


def macro_intervals(confusion: Array) -> MacroIntervals:
    """From int64 [K, K] alone: an image is drawn as a cell of the matrix. NaN without images."""
    count = int(confusion.sum())
    if not count:
        return MacroIntervals(balanced_accuracy=UNKNOWN, f1_macro=UNKNOWN)
    by_row, by_column = confusion.sum(axis=1), confusion.sum(axis=0)
    occurring, real = np.flatnonzero(by_row + by_column), np.flatnonzero(by_row)
    if len(occurring) == 1 < len(confusion):
        # Of one class, and all right: its recall is the one figure there is, and F1 follows from it (`f1_intervals`).
        low, high = wilson_interval(count, count)
        return MacroIntervals(balanced_accuracy=(low, high), f1_macro=(2 * low / (1 + low), 2 * high / (1 + high)))
    cells = np.nonzero(confusion + np.diag(by_row))
    counts = confusion[cells]
    is_right = cells[0] == cells[1]
    added = _ADDED * (len(occurring) > 1)
    likely = counts + _ADDED * np.where(is_right, by_row[cells[0]] / count, 0.0)
    shares = np.append(likely, added) / (likely.sum() + added)

    generator = keyed_generator(_SEED, "bootstrap of a confusion matrix")
    replicates = min(max(_MOST_CELLS // len(shares), FEWEST_REPLICATES), REPLICATES)
    drawn = generator.multinomial(count, shares, size=replicates)
    totals = _totals(cells, drawn[:, :-1], len(confusion))
    wrong = np.repeat(np.arange(replicates), drawn[:, -1])
    truth = real[generator.integers(0, len(real), len(wrong))]
    further = generator.integers(1, max(len(occurring), 2), len(wrong))
    predicted = occurring[(np.searchsorted(occurring, truth) + further) % len(occurring)]
    np.add.at(totals[1], (wrong, truth), 1)
    np.add.at(totals[2], (wrong, predicted), 1)

    centre = _totals(cells, shares[np.newaxis, :-1], len(confusion))
    centre[1][0, real] += shares[-1] / len(real)
    # Each real class is mistaken for any other of those that occur, as often for one as for another.
    mistaken = (len(real) - (by_row[occurring] > 0)) / (len(real) * max(len(occurring) - 1, 1))
    centre[2][0, occurring] += shares[-1] * mistaken
    figures = _figures(*totals)
    figures -= figures.mean(axis=0) - _figures(*centre)
    found = _figures(*_totals(cells, counts[np.newaxis], len(confusion)))[0].tolist()
    balanced, f1 = (_around(value, figures[:, place]) for place, value in enumerate(found))
    return MacroIntervals(balanced_accuracy=balanced, f1_macro=f1)


def calibration_interval(table: Array) -> Interval:
    """Of the expected calibration error of a `calibration_table`; NaN without images.

    Bins and whether an image is right are drawn anew, confidences are the means of their bins. Before, two right and
    two wrong images are added, spread as the others are: otherwise 100 of 100 right would leave no doubt. The error
    that is found is too large with few images, in what is drawn anew once more: so the percentiles are reflected at it.
    The lower end is 0 where chance alone would do.
    """
    count = int(table[:, 0].sum())
    if not count:
        return UNKNOWN
    more = _ADDED * table[:, 0] / count
    right, wrong = table[:, 1] + more, table[:, 0] - table[:, 1] + more
    shares = np.concatenate([right, wrong]) / (count + 2 * _ADDED)
    drawn = keyed_generator(_SEED, "bootstrap of a calibration table").multinomial(count, shares, size=REPLICATES)
    gaps = _gaps(drawn[:, : len(table)], drawn[:, len(table) :], table) / count
    centre = float(_gaps(right, wrong, table)) / (count + 2 * _ADDED)
    found = expected_calibration_error(table)
    low, high = _around(found, found + centre - gaps)
    return (0.0 if found <= chance_calibration_error(table) else low), high


def chance_calibration_error(table: Array) -> float:
    """The expected calibration error that a model whose confidences are true stays below 95 times out of 100, with
    confidences like those of a `calibration_table`; NaN without images.

    Each image is right with the probability that its bin's mean confidence states: J. Bröcker and L. A. Smith,
    "Increasing the reliability of reliability diagrams", Weather and Forecasting 22 (2007).
    """
    counts = table[:, 0]
    if not counts.sum():
        return math.nan
    confidence = np.clip(_mean_confidence(table), 0.0, 1.0)
    rights = keyed_generator(_SEED, "calibration by chance").binomial(
        counts, confidence, size=(REPLICATES, len(counts))
    )
    gaps = np.abs(counts * confidence - rights).sum(axis=1) / int(counts.sum())
    return float(np.quantile(gaps, 0.95))


def _gaps(rights: Array, wrongs: Array, table: Array) -> Array:
    """float64 [...] of [..., bins]: by how many images the bins' sums of confidences differ from what is right."""
    gaps: Array = np.abs((rights + wrongs) * _mean_confidence(table) - rights).sum(axis=-1)
    return gaps


def _totals(cells: tuple[Array, ...], weights: Array, classes: int) -> tuple[Array, Array, Array]:
    """float64 [B, K] each, of float [B, cells] that are in the order of their rows: what is on the diagonal, the sums
    of rows, and those of columns.
    """
    found = [np.zeros((len(weights), classes)) for _ in range(3)]
    is_right = cells[0] == cells[1]
    found[0][:, cells[0][is_right]] = weights[:, is_right]
    for total, places in zip(found[1:], cells, strict=True):
        order = np.argsort(places, kind="stable")
        classes_there, starts = np.unique(places[order], return_index=True)
        total[:, classes_there] = np.add.reduceat(weights[:, order], starts, axis=1)
    return found[0], found[1], found[2]


def _figures(hits: Array, rows: Array, columns: Array) -> Array:
    """float64 [B, 2] of [B, K]: balanced accuracy and macro F1, each over the classes that it is defined for."""
    pairs = ((hits, rows), (2 * hits, rows + columns))
    shares = [np.divide(part, whole, out=np.zeros_like(part), where=whole > 0) for part, whole in pairs]
    return np.stack(
        [share.sum(axis=1) / (whole > 0).sum(axis=1) for share, (_, whole) in zip(shares, pairs, strict=True)], axis=1
    )


def _around(found: float, drawn: Array) -> Interval:
    """From the 2.5th to the 97.5th percentile, from 0 to 1, and around what was found."""
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return min(max(low, 0.0), found), max(min(high, 1.0), found)


def _mean_confidence(table: Array) -> Array:
    """float64 [bins]; 0 for an empty one."""
    counts = table[:, 0]
    return np.divide(table[:, 2] * CONFIDENCE_UNIT, counts, out=np.zeros(len(table)), where=counts > 0)
