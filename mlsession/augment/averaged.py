"""Which views of an image a prediction is averaged over: by choice, none but the image itself by default; pure.

A head gives probabilities of the image as it is (view 0) and of each of its views, and their mean counts, each with the
same weight (Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
2012, section 4.1). The mean is one of probabilities, not of logits: its log loss is never larger than the mean of the
views' log losses (Jensen's inequality), and one view with an extreme logit cannot outvote all others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from mlsession.augment.options import AugmentationOption, augmentation_options
from mlsession.augment.views import ViewPlan
from mlsession.errors import InvalidParameter

AverageViews: TypeAlias = str | Collection[AugmentationOption | str] | None
"""None; "training", the views of training images; or the name of an option, names or options, as for augmentation."""

TRAINING_VIEWS = "training"
SEED = 0
"""Of the views of options that are named: a model out of a file, which knows no seed, says what its session says."""
_NAME_THEM = "name the views: --average-views flip, or average_views={'flip'} in Python"


def averaged_views(given: AverageViews, trained: ViewPlan | None) -> ViewPlan:
    """The plan that a choice stands for; `trained` is that of training images, None where nobody knows it.

    Raises `InvalidParameter` for what names no views, and for "training" where there are none.
    """
    if given is None:
        return ViewPlan()
    if given != TRAINING_VIEWS:
        return ViewPlan(options=_named(given), seed=SEED)
    if trained is None:
        reason = f"is for models of a session: that of a file does not say what it was trained on; {_NAME_THEM}"
        raise InvalidParameter("average_views", given, reason)
    if len(trained) == 1:
        reason = f"is for models that were trained on views, and this one was not; {_NAME_THEM}"
        raise InvalidParameter("average_views", given, reason)
    return trained


def _named(given: str | Collection[AugmentationOption | str]) -> tuple[AugmentationOption, ...]:
    try:
        options = augmentation_options({given} if isinstance(given, str) else given)
    except InvalidParameter as error:
        if error.parameter != "augmentation":
            raise
        raise InvalidParameter("average_views", error.value, error.reason) from error
    if not options:
        raise InvalidParameter("average_views", given, f"names no views; leave it out, or {_NAME_THEM}")
    return options
