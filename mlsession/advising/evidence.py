"""All that a verdict rests on, as one value: what a finished session knows of itself, with no image and no feature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np

from mlsession.advising.commands import TrainingLine
from mlsession.advising.intervals import Share
from mlsession.metrics.report import ClassifierMetrics
from mlsession.scanning.finding import Finding

HeadKind = Literal["logistic", "mlp", "other"]
TELLING = 5
"""Fewer images of a class say nothing of it: even if all are predicted rightly, it may be 57 % of such images."""
SMALL_SIDE = 80
"""Pixels: photos of animals and things of which 94 % are told where they are large lose 2 points of that with a short
side of 80, 8 with 64 or 48, and 17 with 32."""
UNTOLD = 0.1
"""The share of the training images whose classes another part may be without and still be compared with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallImages:
    """Training images that are less than `SMALL_SIDE` pixels wide or high."""

    share: Share
    """Of those that were looked at: all, or evenly spread ones of many."""
    median_side: int
    """Pixels: the shorter side of half of the small ones is no longer than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictingCopies:
    """Training images that are the same files, byte for byte, under different labels."""

    pictures: int
    """Different files that have more than one label."""
    wrong: Share
    """Of the training images those whose label must be wrong at least, whichever label of each picture is right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What is known of a trained and evaluated model; K classes."""

    classes: tuple[str, ...]
    metrics: Mapping[str, ClassifierMetrics]
    """By part: training, validation, test; parts without images are absent."""
    split_off: bool = True
    """Whether the validation images were held out of the training source, and are no source of their own."""
    leaked: Mapping[str, Share] = field(default_factory=dict)
    """By part (validation, test), of the images that are also trained on, byte for byte, those predicted rightly."""
    out_of_fold: Share | None = None
    """Training images that a model of the same kind predicts rightly which has not seen them; None: not known."""
    penalty: float | None = None
    """The strength of the penalty that was chosen by them; None: it was not chosen."""
    temperature: float | None = None
    """What the logits were divided by; None: not known."""
    losses: tuple[float, ...] = ()
    """Of training, by iteration."""
    limit: int | None = None
    """The most training iterations."""
    converged: bool = False
    """Whether the fit ended by itself."""
    head: HeadKind = "logistic"
    is_perceptron_no_better: bool = False
    """Whether a perceptron was tried on the same images, and found no better than that head."""
    is_weighted: bool = False
    """Whether classes have weights."""
    extractor: str = ""
    """What turned images into features."""
    larger_extractor: str = ""
    """One that sees more of a picture, by the name that a command line takes; "" where there is none at hand."""
    input_side: int | None = None
    """Pixels that it sees of a picture, across and down."""
    small_images: SmallImages | None = None
    """None: not known, or there are none."""
    conflicting_copies: ConflictingCopies | None = None
    """None: there are none, or it is not known."""
    pictures: tuple[int, ...] | None = None
    """[K]: different files of each class in the training source; None: not known."""
    skipped: Share = field(default_factory=lambda: Share(part=0, count=0))
    """Training images that cannot be read."""
    findings: tuple[Finding, ...] = ()
    """What the labels of the images and their numbers tell; see `mlsession.training.images.brief`."""
    line: TrainingLine = field(default_factory=TrainingLine)
    """How the session is trained from a command line."""

    @cached_property
    def accuracy(self) -> Mapping[str, Share]:
        """By part, the images predicted rightly."""
        return MappingProxyType(
            {
                part: Share(part=int(metrics.true_positives.sum()), count=metrics.count)
                for part, metrics in self.metrics.items()
                if metrics.count
            }
        )

    @property
    def judged(self) -> str | None:
        """The part that says most of images to come: test, or else validation; None without either."""
        return next((part for part in ("test", "validation") if part in self.accuracy), None)

    @property
    def held_out(self) -> tuple[str, Share] | None:
        """In words, and as a share predicted rightly: images of the training source that were not trained on.

        Those of cross-validation, which are more, where there are any; None where nothing was held out.
        """
        if self.out_of_fold is not None and self.out_of_fold.count:
            return "training images held back in turn", self.out_of_fold
        if self.split_off and "validation" in self.accuracy:
            return "images held out of the training data", self.accuracy["validation"]
        return None

    @cached_property
    def best_unseen(self) -> tuple[str, Share] | None:
        """In words, and as a share predicted rightly: of the images not trained on those it does best on, as far as
        the figures prove it; None where there are none."""
        known = [("test images", self.accuracy["test"])] if "test" in self.accuracy else []
        if "validation" in self.accuracy and not self.split_off:
            known.append(("validation images", self.accuracy["validation"]))
        known += [self.held_out] if self.held_out is not None else []
        return max(known, key=lambda each: each[1].least(), default=None)

    @cached_property
    def training_counts(self) -> tuple[int, ...]:
        """[K]: images trained on."""
        metrics = self.metrics.get("training")
        return tuple(metrics.class_counts.tolist()) if metrics is not None else (0,) * len(self.classes)

    @cached_property
    def different_counts(self) -> tuple[int, ...]:
        """[K]: images trained on, copies of one file counted once; all of them where copies are not known."""
        return tuple(map(min, self.training_counts, self.pictures or self.training_counts))

    def like_training(self, part: str) -> Share | None:
        """The images of a part predicted rightly, were its classes mixed as those of the training images are.

        Two accuracies can be compared only for one mix of classes: this is the direct standardisation of rates. The
        count is how many images drawn from that mix would tell as much (L. Kish, "Survey Sampling", 1965), so it is
        the part's own where the mixes are the same. None where more than `UNTOLD` of that mix has no images.
        """
        metrics, mix = self.metrics[part], np.array(self.training_counts, dtype=np.float64)
        counts = metrics.class_counts
        told = (counts > 0) & (mix > 0)
        if not told.any() or mix[told].sum() < (1 - UNTOLD) * mix.sum():
            return None
        share = mix[told] / mix[told].sum()
        count = math.floor(1 / float((share**2 / counts[told]).sum()) + 1e-9)
        right = float((share * metrics.true_positives[told] / counts[told]).sum())
        return Share(part=round(right * count), count=count)

    @property
    def sure_half(self) -> Share | None:
        """Of the half of the judged images that the model is surest of (and those as sure), those predicted rightly.

        None where that is not known.
        """
        counts = self.metrics[self.judged].confidence_counts if self.judged is not None else None
        if counts is None or not counts.sum():
            return None
        wrong, right = counts[:, ::-1].cumsum(axis=1)  # The surest first.
        place = int(((wrong + right) * 2 >= counts.sum()).argmax())
        return Share(part=int(right[place]), count=int(wrong[place] + right[place]))

    def recall(self, label: int) -> Share:
        """Of the judged images of a class, those predicted rightly."""
        metrics = self.metrics[self.judged] if self.judged is not None else None
        if metrics is None:
            return Share(part=0, count=0)
        return Share(part=int(metrics.confusion_matrix[label, label]), count=int(metrics.confusion_matrix[label].sum()))

    def mistaken(self, label: int, predicted: int) -> Share:
        """Of the judged images of a class, those taken for another one."""
        metrics = self.metrics[self.judged] if self.judged is not None else None
        if metrics is None:
            return Share(part=0, count=0)
        row = metrics.confusion_matrix[label]
        return Share(part=int(row[predicted]), count=int(row.sum()))
