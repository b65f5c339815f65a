"""How far a figure may lie from what more images would show: 95 % intervals in closed form; pure.

All of them suppose images that were drawn independently from what the classifier will meet. None has no width where
all images are right, as Wald's and plain bootstrap intervals have.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from mlsession.session.phase import Array

Interval = tuple[float, float]
"""Its lower and its upper end; NaN where the figure is undefined."""
UNKNOWN: Interval = (math.nan, math.nan)

Z = 1.959963984540054
"""The normal distribution has 2.5 % beyond it, at each side."""
_HALVINGS = 60


def wilson_interval(part: int, whole: int) -> Interval:
    """Of a share `part` / `whole`, after E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927); NaN without a whole.
    """
    low, high = wilson_intervals(np.array([part]), np.array([whole]))[0].tolist()
    return low, high


def wilson_intervals(parts: Array, wholes: Array) -> Array:
    """float64 [n, 2] of int [n] parts and wholes: the `wilson_interval` of each."""
    ends = np.full((len(parts), 2), np.nan)
    some = wholes > 0
    share, spread = parts[some] / wholes[some], Z * Z / wholes[some]
    centre = share + spread / 2
    reach = Z * np.sqrt(share * (1 - share) / wholes[some] + spread / (4 * wholes[some]))
    # Exactly 0 and 1 where the share is: a rounding must not leave it outside.
    ends[some, 0] = np.where(share > 0, (centre - reach) / (1 + spread), 0.0)
    ends[some, 1] = np.where(share < 1, (centre + reach) / (1 + spread), 1.0)
    return ends


def f1_intervals(hits: Array, either: Array) -> Array:
    """float64 [K, 2] of int [K]: images of a class predicted as it, and images that are of it or predicted as it.

    F1 = 2 J / (1 + J) rises with the share J = hits / either, so its interval is the image of J's Wilson interval.
    """
    shares = wilson_intervals(hits, either)
    ends: Array = 2 * shares / (1 + shares)
    return ends


def gain_interval(better: int, worse: int, count: int, candidates: int = 1) -> Interval:
    """Of the difference of two accuracies on the same `count` images: right by the first alone on `better` of them,
    by the second alone on `worse`; NaN without images.

    A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
    Medicine 24 (2005): Wald's interval once 1/2 is added to each of the four outcomes. Where the second is the best
    one of several `candidates` on these very images, it looks better than it is: the upper end then is that which
    holds for all of them at once (O. J. Dunn, "Multiple comparisons among means", JASA 56, 1961).
    """
    if not count:
        return UNKNOWN
    total = count + 2
    gain = (better - worse) / total
    error = math.sqrt(((better + worse + 1) / total - gain * gain) / total)
    above = NormalDist().inv_cdf(1 - 0.025 / max(candidates, 1))
    return max(gain - Z * error, -1.0), min(gain + above * error, 1.0)


def num_commonest(counts: Array) -> int:
    """How many classes may be the commonest one, of int [K] images of each: the one with the most images, and those
    whose number differs from it by no more than chance explains.

    After S. S. Gupta, "On some multiple decision (selection and ranking) rules", Technometrics 7 (1965). At least 1.
    """
    most = int(counts.max(initial=0))
    # The variance of the difference of two multinomial counts is at most their sum.
    return max(int((most - counts <= Z * np.sqrt(most + counts)).sum()), 1)


def loss_interval(mean: float, deviation: float, count: int, classes: int) -> Interval:
    """Of the mean log loss of `count` images, whose losses have that standard deviation; `classes` are told apart.

    The normal approximation, once two images are added that are told without any loss, and two that are told wrongly,
    with twice the loss of a guess: as Agresti and Coull (1998) do for a share. Without them the loss of mistakes that
    were not met shows in no interval, and most of 100 images without a mistake have one that lies too low. NaN below 2.
    """
    if count < 2 or not math.isfinite(deviation):
        return UNKNOWN
    wrong, total = 2 * math.log(classes), count + 4
    centre = (count * mean + 2 * wrong) / total
    squares = (count - 1) * deviation**2 + count * (mean - centre) ** 2 + 2 * centre**2 + 2 * (wrong - centre) ** 2
    reach = Z * math.sqrt(squares / (total - 1) / total)
    return max(min(centre - reach, mean), 0.0), max(centre + reach, mean)


def area_intervals(areas: Array, positives: Array, negatives: Array) -> Array:
    """float64 [K, 2] of float [K] areas under ROC curves, from int [K] images of each class and of all others.

    R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25 (2006), method 5: all areas A whose own standard error, after Hanley and McNeil (1982)
    with both sample sizes replaced by their mean, does not make the one that was found improbable.
    """
    ends = np.full((len(areas), 2), np.nan)
    known = np.isfinite(areas)
    found, ones, others = areas[known], positives[known].astype(float), negatives[known].astype(float)
    for place, edge in enumerate((np.zeros_like(found), np.ones_like(found))):
        inside, outside = found.copy(), edge
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            fits = np.abs(found - middle) <= Z * np.sqrt(_area_variance(middle, ones, others))
            inside, outside = np.where(fits, middle, inside), np.where(fits, outside, middle)
        ends[known, place] = inside
    return ends


def _area_variance(area: Array, positives: Array, negatives: Array) -> Array:
    extra = (positives + negatives) / 2 - 1
    variance: Array = (
        area * (1 - area) * (1 + extra * ((1 - area) / (2 - area) + area / (1 + area))) / (positives * negatives)
    )
    return variance
