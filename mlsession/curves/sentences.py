"""What a learning curve comes to, in two sentences for people; pure."""

from __future__ import annotations

import math

from mlsession.curves.curve import ClassOutlook, Estimate, LearningCurve, Trend
from mlsession.display.plain import plain

MOST_NAMED = 3
"""Classes in the second sentence."""
FEWEST_TOLD = 5
"""Images of a class: all of fewer may be wrong, or right, and say nothing of what more would bring."""


def whole_sentence(curve: LearningCurve) -> str:
    """What more images of all classes can be expected to bring."""
    twice = next((each for each in curve.projections if each.factor == 2.0), None)
    if twice is None:
        return (
            f"Of more than {4 * curve.sampled:,} images nothing can be said from {curve.sampled:,}: measure on more "
            "of them (--most-images)."
        )
    if (guess := _guessed(curve)) is not None:
        return (
            f"What was learned is no better than always saying one class ({100 * guess:.1f} %), with few images or "
            "many: look at the labels first (mlsession review)."
        )
    gain, of_all = _points(twice.gain), "for all classes together" if _worth(curve) else ""
    if curve.trend is Trend.FLAT:
        kind = of_all or "of this kind"
        return f"More images {kind} are hardly worth it: twice as many are expected to bring {gain}."
    if curve.trend is Trend.UNCLEAR:
        bring = f"bring {of_all}" if of_all else "bring"
        return f"What more images {bring} cannot be told well from these: of twice as many {gain} are expected."
    needed = curve.needed[0]
    more = (
        "one point takes more than can be told of"
        if needed.images is None
        else f"one point takes about {_rounded(needed.images):,} more in all"
    )
    return f"Twice as many images are expected to bring {gain}; {more}."


def class_sentence(curve: LearningCurve) -> str:
    """Of which classes to take more; where more of all are not said to be better, for the recall of these alone."""
    few = [plain(label) for label in curve.unjudged]
    few += [f"{plain(each.label)} ({each.images:,})" for each in curve.outlook if each.images < FEWEST_TOLD]
    if few:
        named = ", ".join(few[:MOST_NAMED])
        more = f" and {len(few) - MOST_NAMED:,} more classes" if len(few) > MOST_NAMED else ""
        return f"Of {named}{more} there are too few images to tell what more bring: take more of these first."
    worth = _worth(curve)
    if not worth:
        least = min(curve.outlook, key=lambda each: each.recall)
        none = "Of no class alone more images can be told to be worth a point"
        if least.recall == 1:
            return f"{none}: every image of every class that was held out is told rightly."
        found = f"{100 * least.recall:.3g} % of {least.images:,} images"
        return f"{none}; the lowest recall has {plain(least.label)}, {found}."
    named = ", then ".join(_wanted(each) for each in worth[:MOST_NAMED])
    if curve.trend is Trend.RISING:
        return f"Take {named}."
    one = plain(worth[0].label) if len(worth) == 1 else "some classes"
    return f"For the recall of {one} alone more are worth taking: {named}."


def _guessed(curve: LearningCurve) -> float | None:
    """The share of the commonest class, if neither the accuracy nor the mean recall is proven to be above what a guess
    gets; 1.96 standard errors of the latter count.
    """
    counts, recalls = [each.images for each in curve.outlook], [each.recall for each in curve.outlook]
    guess, size = max(counts) / sum(counts), len(counts)
    error = math.sqrt(sum(recall * (1 - recall) / count for recall, count in zip(recalls, counts, strict=True)))
    return guess if curve.now.low <= guess and sum(recalls) - 1.96 * error <= 1 < size else None


def _worth(curve: LearningCurve) -> list[ClassOutlook]:
    return [each for each in curve.outlook if each.more]


def _wanted(each: ClassOutlook) -> str:
    about = "at least" if each.is_least else "about"
    return f"{about} {_rounded(each.more):,} more images of {plain(each.label)}"


def _points(gain: Estimate) -> str:
    low, high = max(100 * gain.low, 0.0), 100 * gain.high
    return f"{100 * gain.value:.1f} points ({low:.1f} to {high:.1f})"


def _rounded(count: int) -> int:
    """To two digits: no more can be known."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return max(round(count / step) * step, 1)
