"""From verdicts on images to expectations: resampled curves, a law fitted to each, and what all of them say.

Images and repeats are both drawn with replacement, `RESAMPLED` times, images within their class (Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1 (2007)); a power law is fitted to each resampled curve. An expectation is the
mean over these laws (Breiman, "Bagging predictors", 1996): one best law alone follows the noise of few images farther
astray. An interval leaves out 5 % of them on either side. The same images are in all points of a resampled curve, so
differences between numbers of images come out far surer than the accuracies themselves; rightly so.

Of a class there are few images; so its laws have the exponents of all classes together, and only floor and rise of
their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mlsession.curves.curve import NEEDED_POINTS, ClassOutlook, CurvePoint, Estimate, Needed, Projection, Trend
from mlsession.curves.measured import Judged
from mlsession.curves.power import FARTHEST, Floats, PowerLaws, fit_laws, fit_with_exponents
from mlsession.randomness import keyed_generator

RESAMPLED = 400
FACTORS = (1.5, 2.0, FARTHEST)
SURE = 0.05
"""The share of resampled curves left out on either side."""
SOME, POINT = 0.002, 0.01
"""A gain that is one at all, and one of a percentage point."""
STEP = 0.5
"""Of the images that there are: as many are imagined to be added at a time."""
PLACES = 61
"""Numbers of images that are tried between one and another, geometrically."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resampled:
    """B resampled curves."""

    recall: Floats
    """[B, S, K]."""
    losses: Floats
    """[B, S]: mean log loss."""
    shares: Floats
    """[K]: of the judged images."""

    @property
    def accuracy(self) -> Floats:
        """[B, S]."""
        accuracy: Floats = self.recall @ self.shares
        return accuracy


def resampled(judged: Judged, num_classes: int, seed: int) -> Resampled:
    """Draws them; a pure function of the verdicts and the seed."""
    generator = keyed_generator(seed, "learning curve", "resampled")
    repeats, sizes, count = judged.correct.shape
    of_repeats = generator.multinomial(repeats, np.full(repeats, 1 / repeats), RESAMPLED) / repeats
    starts = np.searchsorted(judged.labels, np.arange(num_classes))
    counts = np.diff(np.append(starts, count))
    of_images = np.concatenate(
        [generator.multinomial(size, np.full(size, 1 / size), RESAMPLED) for size in counts.tolist()], axis=1
    ).astype(np.float32)
    recall, losses = np.empty((RESAMPLED, sizes, num_classes)), np.empty((RESAMPLED, sizes))
    for size in range(sizes):
        right = (of_repeats @ judged.correct[:, size]) * of_images
        recall[:, size] = np.add.reduceat(right, starts, axis=1) / counts
        losses[:, size] = ((of_repeats @ judged.losses[:, size]) * of_images).sum(axis=1) / count
    return Resampled(recall=recall, losses=losses, shares=counts / count)


def measured_points(judged: Judged, curves: Resampled) -> tuple[CurvePoint, ...]:
    """What was measured, with standard errors as resampling tells them."""
    num_classes = len(curves.shares)
    counts = np.bincount(judged.labels, minlength=num_classes)
    right, losses = judged.correct.mean(axis=0), judged.losses.mean(axis=0, dtype=np.float64)
    return tuple(
        CurvePoint(
            images=float(judged.images[size]),
            images_per_class=float(judged.images[size] / num_classes),
            accuracy=float(right[size].mean()),
            accuracy_error=max(float(curves.accuracy[:, size].std()), least_error(len(judged.labels))),
            log_loss=float(losses[size].mean()),
            log_loss_error=float(curves.losses[:, size].std()),
            recall=tuple((np.bincount(judged.labels, weights=right[size], minlength=num_classes) / counts).tolist()),
        )
        for size in range(len(judged.images))
    )


def least_error(count: int) -> float:
    """The standard error of an accuracy of `count` images that is left where drawing them anew leaves none.

    In classes that are all right or all wrong nothing changes when images are drawn. So it is that of two mistakes in
    four images more: Agresti and Coull, "Approximate is better than 'exact'" (1998), of no mistake.
    """
    share = 2 / (count + 4)
    return math.sqrt(share * (1 - share) / (count + 4))


def accuracy_laws(judged: Judged, curves: Resampled) -> PowerLaws:
    """A law of the error for each resampled curve, the points weighted by their standard errors."""
    return fit_laws(judged.images, 1 - curves.accuracy, _weights(curves.accuracy, len(judged.labels)))


def _weights(shares: Floats, count: int) -> Floats:
    """[S] of resampled shares [B, S] of `count` images: no point is surer than half an image."""
    weights: Floats = np.maximum(shares.std(axis=0), 0.5 / count) ** -2.0
    return weights


def projections(
    laws: PowerLaws, images: int, farthest: float, error: float = 0.0
) -> tuple[Estimate, tuple[Projection, ...]]:
    """The accuracy expected of all images, and of more; numbers of images up to `farthest`.

    `error` is the least standard error of an accuracy, see `least_error`.
    """
    now = 1 - laws.errors(np.array([float(images)]))[:, 0]
    found = []
    for factor in FACTORS:
        if factor * images <= farthest * (1 + _ROUNDING):
            then = 1 - laws.errors(np.array([factor * images]))[:, 0]
            more = round(factor * images)
            found.append(
                Projection(factor=factor, images=more, accuracy=_estimate(then, error), gain=_estimate(then - now))
            )
    return _estimate(now, error), tuple(found)


def _estimate(values: Floats, error: float = 0.0) -> Estimate:
    """Of a share with that standard error at least; of a gain, which may be below 0, without one."""
    low, high = np.quantile(values, (SURE, 1 - SURE)).tolist()
    value, reach = float(values.mean()), -NormalDist().inv_cdf(SURE) * error
    if reach:
        low, high = max(min(low, value - reach), 0.0), min(max(high, value + reach), 1.0)
    return Estimate(value=value, low=low, high=high)


def needed(laws: PowerLaws, images: int, farthest: float) -> tuple[Needed, ...]:
    """How many more images some gains take; of numbers beyond `farthest` nothing is said."""
    if farthest <= images:
        return tuple(Needed(points=points, images=None, low=None, high=None) for points in NEEDED_POINTS)
    grid = np.geomspace(images, farthest, 16 * PLACES)
    errors = laws.errors(grid)
    gains = errors[:, :1] - errors
    return tuple(
        Needed(
            points=points,
            images=_first(gains.mean(axis=0), points / 100, grid),
            # The more is gained, the fewer are needed.
            low=_first(np.quantile(gains, 1 - SURE, axis=0), points / 100, grid),
            high=_first(np.quantile(gains, SURE, axis=0), points / 100, grid),
        )
        for points in NEEDED_POINTS
    )


def _first(gains: Floats, wanted: float, grid: Floats) -> int | None:
    """Images beyond the first of the grid at which a gain is reached; gains ascend."""
    place = int(np.searchsorted(gains, wanted))
    return None if place == len(grid) else max(round(float(grid[place] - grid[0])), 1)


def trend_of(gain: Estimate) -> Trend:
    """What is to be said of the gain of twice the images."""
    if gain.high < POINT:
        return Trend.FLAT
    return Trend.RISING if gain.low >= SOME else Trend.UNCLEAR


def outlook(
    judged: Judged,
    curves: Resampled,
    laws: PowerLaws,
    classes: tuple[str, ...],
    counts: npt.NDArray[np.int64],
    sampled: npt.NDArray[np.int64],
) -> tuple[ClassOutlook, ...]:
    """Of each class, those to be fed first come first.

    Of the classes there are `counts` int64 [K] images, of which `sampled` [K] were measured on.
    """
    found = []
    judged_counts = np.bincount(judged.labels, minlength=len(classes))
    for place, label in enumerate(classes):
        recall, images = curves.recall[:, :, place], judged.class_images[:, place]
        weights = _weights(recall, int(judged_counts[place]))
        own = fit_with_exponents(images, 1 - recall, weights, laws.exponent)
        measured = float(judged.correct[:, -1, judged.labels == place].mean())
        found.append(_class_outlook(label, int(counts[place]), measured, FARTHEST * float(sampled[place]), own))
    order = (Trend.RISING, Trend.UNCLEAR, Trend.FLAT)
    return tuple(sorted(found, key=lambda each: (order.index(each.trend), -each.gain.value)))


def _class_outlook(label: str, count: int, recall: float, farthest: float, laws: PowerLaws) -> ClassOutlook:
    grid = np.geomspace(count, max(farthest, count), PLACES)
    errors = laws.errors(grid)
    gain = _estimate(errors[:, 0] - laws.errors(np.array([min(2.0 * count, grid[-1])]))[:, 0])
    trend = trend_of(gain)
    more, is_least = (0, False) if trend is not Trend.RISING else _worth_taking(grid, errors, laws)
    return ClassOutlook(label=label, images=count, recall=recall, gain=gain, trend=trend, more=more, is_least=is_least)


def _worth_taking(grid: Floats, errors: Floats, laws: PowerLaws) -> tuple[int, bool]:
    """How many more images are, in steps of `STEP` of the first of the grid, and whether that is where it ends."""
    step = STEP * grid[0]
    begins = np.flatnonzero(grid + step <= grid[-1] * (1 + _ROUNDING))
    gained = (errors[:, begins] - laws.errors(grid[begins] + step)).mean(axis=0)
    worth = np.flatnonzero(gained >= POINT)
    if not len(worth):
        return 0, False
    last = worth[-1]
    return round(float(grid[begins[last]] + step - grid[0])), bool(last == len(begins) - 1)
