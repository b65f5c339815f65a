"""A learning curve as a value: what was measured, what more images can be expected to bring, and of which classes."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from enum import StrEnum

from mlsession.session.phase import Json

NEEDED_POINTS = (1, 2)
"""Percentage points of accuracy, for each of which it is said how many more images they take."""


class Trend(StrEnum):
    """What more images can be expected to bring."""

    RISING = "rising"
    """Twice as many are better: 19 of 20 resampled curves say so."""
    FLAT = "flat"
    """Twice as many bring less than a percentage point: 19 of 20 resampled curves say so."""
    UNCLEAR = "unclear"
    """Neither can be told from so few images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share or a difference of shares; `low` and `high` hold it with a chance of 90 %, as far as resampling tells."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What heads fitted to some of the images say of others."""

    images: float
    """That they were fitted to, on average."""
    images_per_class: float
    accuracy: float
    accuracy_error: float
    """Standard error, over the images and the repeats."""
    log_loss: float
    """Mean minus log of the true label's probability, in nats; of heads as they are fitted, without a temperature."""
    log_loss_error: float
    recall: tuple[float, ...]
    """[K]: the share of each class's images that get its label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a number of images can be expected to give."""

    factor: float
    """Times the images that there are."""
    images: int
    accuracy: Estimate
    gain: Estimate
    """In accuracy, over what is expected of the images that there are; surer than either is by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """How many more images a gain takes."""

    points: int
    """Percentage points of accuracy."""
    images: int | None
    """That many more, in all; None: more than can be told of."""
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutlook:
    """What more images of a class can be expected to bring it, if the other classes grow alike."""

    label: str
    images: int
    """That there are."""
    recall: float
    """As measured with the most images."""
    gain: Estimate
    """In recall, of twice the images."""
    trend: Trend
    more: int
    """About so many further images are worth taking: until then each half as many as there are now are expected to
    bring a percentage point of recall or more. 0 unless the trend rises."""
    is_least: bool
    """Whether `more` ends where the curve may not be followed any farther."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Accuracy by number of training images, measured on the features of a session; `ml.learning_curve` makes it."""

    url: str
    """The session."""
    images: int
    """Training images of the classes below, those that a split holds out among them."""
    sampled: int
    """Of these, those that it was measured on."""
    classes: tuple[str, ...]
    unjudged: tuple[str, ...]
    """Classes that were left out: they have fewer than two different images, or so few that none was held out."""
    repeats: int
    points: tuple[CurvePoint, ...]
    """Fewest images first."""
    trend: Trend
    now: Estimate
    """The accuracy that all images together can be expected to give: a projection, too, as some were held out."""
    projections: tuple[Projection, ...]
    """Of 1.5, 2 and 4 times the images; those beyond 4 times the ones measured on are left out."""
    needed: tuple[Needed, ...]
    outlook: tuple[ClassOutlook, ...]
    """Of each class: those to be fed first come first."""

    def to_json(self) -> dict[str, Json]:
        """A JSON object with the same members."""
        found: dict[str, Json] = asdict(self)
        return found

    def table(self) -> bytes:
        """CSV: a line for each measured number of images and class, and with an empty label one for all of them."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("images", "images_per_class", "label", "accuracy", "standard_error", "log_loss"))
        for point in self.points:
            begin = (f"{point.images:.10g}", f"{point.images_per_class:.10g}")
            writer.writerow((*begin, "", point.accuracy, point.accuracy_error, point.log_loss))
            recalls = zip(self.classes, point.recall, strict=True)
            writer.writerows((*begin, label, recall, "", "") for label, recall in recalls)
        return text.getvalue().encode()

    def __repr__(self) -> str:
        return f"<LearningCurve of {self.images:,} images in {len(self.classes)} classes: {self.trend}>"
