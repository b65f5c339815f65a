"""From which probability on to believe a classifier: thresholds, and what they cost; pure.

Thresholds lie between the bins in which scores are counted (see `metrics.scores`). So the counts at each are exactly
those of the images that were evaluated; scores that differ by less than 1/16, or above 1/2 by less than 1/16 of what
they lack to 1, may not be told apart. Where several thresholds have the same counts, one about halfway down to the next
lower score is taken, on the scale of the bins, which is about that of log-odds: it leaves new images the most room on
either side. Of those the one with the fewest digits: it can be printed and typed as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.metrics.intervals import Interval, wilson_interval
from mlsession.metrics.scores import bin_floor
from mlsession.session.phase import Array, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """What holds of the images evaluated if a label is given to all whose probability of it is `threshold` or more.

    That probability need not be the largest of an image's below a threshold of 1/2. Precision and recall were looked
    at to choose the threshold: on other images they tend to be a little lower.
    """

    label: str
    threshold: float
    """From 0 to 1."""
    count: int
    """Images that get the label."""
    correct: int
    """Those of them whose true label it is."""
    total: int
    """Images whose true label it is."""

    @property
    def precision(self) -> float:
        """Of the images that get the label, the share that is of it."""
        return self.correct / self.count

    @property
    def precision_interval(self) -> Interval:
        """The precision's 95 % interval (Wilson)."""
        return wilson_interval(self.correct, self.count)

    @property
    def recall(self) -> float:
        """Of the images of the label, the share that gets it."""
        return self.correct / self.total

    @property
    def recall_interval(self) -> Interval:
        """The recall's 95 % interval (Wilson)."""
        return wilson_interval(self.correct, self.total)

    def to_json(self) -> dict[str, Json]:
        return {
            "label": self.label,
            "threshold": self.threshold,
            "count": self.count,
            "correct": self.correct,
            "total": self.total,
            "precision": self.precision,
            "precision_interval": list(self.precision_interval),
            "recall": self.recall,
            "recall_interval": list(self.recall_interval),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What holds of the images evaluated if those whose best label has less than `threshold` are left unsaid.

    Selective classification: R. El-Yaniv and Y. Wiener, "On the foundations of noise-free selective classification",
    JMLR 11 (2010). The error was looked at to choose the threshold: on other images it tends to be a little larger.
    """

    threshold: float
    """From 0 (nothing is rejected) to 1."""
    count: int
    """Images that are answered."""
    wrong: int
    """Those of them that are predicted wrongly."""
    total: int

    @property
    def coverage(self) -> float:
        """The share of images that is answered."""
        return self.count / self.total

    @property
    def error(self) -> float:
        """Of the images that are answered, the share predicted wrongly."""
        return self.wrong / self.count

    @property
    def error_interval(self) -> Interval:
        """The error's 95 % interval (Wilson)."""
        return wilson_interval(self.wrong, self.count)

    def to_json(self) -> dict[str, Json]:
        return {
            "threshold": self.threshold,
            "count": self.count,
            "wrong": self.wrong,
            "total": self.total,
            "coverage": self.coverage,
            "error": self.error,
            "error_interval": list(self.error_interval),
        }


def operating_points(label: str, positives: Array, negatives: Array) -> list[OperatingPoint]:
    """A point for each bin that holds images, from the highest threshold down; the last one is 0.

    int64 [BINS]: images of the label and all others by the probability of the label; there is one of the label.
    """
    hits, others = (np.cumsum(table[::-1])[::-1].tolist() for table in (positives, negatives))
    return [
        OperatingPoint(
            label=label,
            threshold=threshold,
            count=hits[place] + others[place],
            correct=hits[place],
            total=hits[0],
        )
        for place, threshold in _thresholds(positives + negatives)
    ]


def with_precision(points: Sequence[OperatingPoint], least: float) -> OperatingPoint:
    """Of those with a precision of `least` or more the one with the largest recall.

    Raises `InvalidParameter` where there is none, with the best that there is.
    """
    _check_share("min_precision", least)
    fitting = [point for point in points if point.correct and point.precision >= least]
    if not fitting:
        best = max(points, key=lambda point: (point.precision, point.correct))
        raise InvalidParameter(
            "min_precision",
            least,
            f"no threshold reaches it for {best.label!r} on these {best.total} images of it; the best is "
            f"{best.precision:.3f}, from {best.threshold!r} on, where the recall is {best.recall:.3f}",
        )
    return max(fitting, key=lambda point: (point.correct, -point.count))


def with_recall(points: Sequence[OperatingPoint], least: float) -> OperatingPoint:
    """Of those with a recall of `least` or more the one with the largest precision. Raises `InvalidParameter` for what
    is no share.
    """
    _check_share("min_recall", least)
    fitting = [point for point in points if point.recall >= least]
    return max(fitting, key=lambda point: (point.precision, point.correct))


def rejections(confidence: Array) -> list[Rejection]:
    """A point for each bin that holds images, from the highest threshold down; the last answers all, from 0 on.

    int64 [2, BINS]: images predicted wrongly and rightly by the probability of their best label.
    """
    wrongs, counts = (np.cumsum(table[::-1])[::-1].tolist() for table in (confidence[0], confidence.sum(axis=0)))
    return [
        Rejection(threshold=threshold, count=counts[place], wrong=wrongs[place], total=counts[0])
        for place, threshold in _thresholds(confidence.sum(axis=0))
    ]


def with_error(points: Sequence[Rejection], most: float) -> Rejection:
    """Of those with an error of `most` or less the one that answers most.

    Raises `InvalidParameter` where there is none, with the best that there is.
    """
    found = within_error(points, most)
    if found is None:
        best = min(points, key=lambda point: (point.error, -point.count))
        raise InvalidParameter(
            "max_error",
            most,
            f"no threshold reaches it on these {best.total} images; the least is {best.error:.3f}, from "
            f"{best.threshold!r} on, where {best.coverage:.1%} are answered",
        )
    return found


def within_error(points: Sequence[Rejection], most: float) -> Rejection | None:
    """The same, or None where there is none."""
    _check_share("max_error", most)
    fitting = [point for point in points if point.error <= most]
    return max(fitting, key=lambda point: point.count) if fitting else None


def _thresholds(counts: Array) -> Iterator[tuple[int, float]]:
    """Each bin of int64 [BINS] that holds images, from the highest down, with a threshold that it is the last above."""
    places = np.flatnonzero(counts)[::-1].tolist()
    for place, lower in zip(places, [*places[1:], None], strict=True):
        yield place, 0.0 if lower is None else _short(bin_floor(lower + 1), _halfway(lower, place), bin_floor(place))


def _halfway(lower: int, place: int) -> float:
    return bin_floor(lower + (place - lower + 1) // 2)


def _short(low: float, wanted: float, high: float) -> float:
    """The float64 from `low` to `high` that is `wanted` rounded to as few digits as possible."""
    rounded = (float(f"{wanted:.{digits}g}") for digits in range(1, 18))
    return next(each for each in rounded if low <= each <= high)


def _check_share(parameter: str, value: object) -> None:
    """Raises `InvalidParameter` for what is not from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not 0.0 <= value <= 1.0:
        raise InvalidParameter(parameter, value, "must lie from 0 to 1")
