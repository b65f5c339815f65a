"""What a scan finds, as values: what kind of thing, how bad it is, which images, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlsession.errors import InternalError
from mlsession.session.phase import Json


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """Training is refused, or what it measures is wrong."""
    WARNING = "warning"
    """The model is likely to be worse for it."""
    NOTE = "note"
    """Good to know; often as it should be."""


class Kind(StrEnum):
    """Each kind of finding, in the order of a report."""

    ONE_CLASS = "one_class"
    UNKNOWN_LABELS = "unknown_labels"
    UNUSABLE_CLASSES = "unusable_classes"
    LEAKED_IMAGES = "leaked_images"
    CONFLICTING_DUPLICATES = "conflicting_duplicates"
    UNREADABLE_IMAGES = "unreadable_images"
    NEARLY_LEAKED_IMAGES = "nearly_leaked_images"
    CONFLICTING_NEAR_DUPLICATES = "conflicting_near_duplicates"
    SIMILAR_LABELS = "similar_labels"
    TINY_CLASSES = "tiny_classes"
    IMBALANCE = "imbalance"
    BLANK_IMAGES = "blank_images"
    DARK_IMAGES = "dark_images"
    BRIGHT_IMAGES = "bright_images"
    BLURRED_IMAGES = "blurred_images"
    GREY_CLASSES = "grey_classes"
    SMALL_CLASSES = "small_classes"
    EXACT_DUPLICATES = "exact_duplicates"
    NEAR_DUPLICATES = "near_duplicates"
    SMALL_IMAGES = "small_images"
    EXTREME_SHAPES = "extreme_shapes"
    GREY_IMAGES = "grey_images"
    TURNED_IMAGES = "turned_images"
    WRONG_EXTENSIONS = "wrong_extensions"
    UNTESTED_LABELS = "untested_labels"


TRAINING = "training"
TEST = "test"
"""The sources of a scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedImage:
    """One image of a finding."""

    source: str
    """`TRAINING` or `TEST`."""
    path: str
    """Relative to the root of its source."""
    label: str
    detail: str = ""
    """What was found of this image, in a few words; "" where the finding says it all."""

    def to_json(self, group: int) -> dict[str, Json]:
        """A JSON object, with the place of the group that it is in."""
        return {
            "path": self.path,
            "source": self.source,
            "label": self.label,
            "detail": self.detail,
            "group": group,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found. Raises `InternalError` for an empty group."""

    kind: Kind
    severity: Severity
    sentence: str
    """What was found, without a period."""
    cure: str
    """What to do about it, without a period."""
    labels: tuple[str, ...] = ()
    """The classes it is about, where it is about classes."""
    groups: tuple[tuple[ScannedImage, ...], ...] = ()
    """The images: those that belong together in one group, such as the copies of a file; else each in its own."""

    def __post_init__(self) -> None:
        if not all(self.groups):
            raise InternalError(f"finding {self.kind}: a group has no image")

    @property
    def images(self) -> tuple[ScannedImage, ...]:
        """All its images, group by group."""
        return tuple(image for group in self.groups for image in group)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all its images."""
        return tuple(image.path for image in self.images)

    def summary(self) -> dict[str, str]:
        """Kind, severity, sentence and cure, for what has no room for images."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "cure": self.cure,
        }

    def to_json(self) -> dict[str, Json]:
        """A JSON object with all images."""
        return {
            **self.summary(),
            "labels": list(self.labels),
            "count": len(self.images),
            "images": [image.to_json(place) for place, group in enumerate(self.groups) for image in group],
        }


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The worst first; those equally bad as `Kind` lists them."""
    severities, kinds = list(Severity), list(Kind)
    return tuple(sorted(findings, key=lambda each: (severities.index(each.severity), kinds.index(each.kind))))


def number_of(count: int, noun: str) -> str:
    """ "1 image", "1,200 images", "3 classes", "2 copies"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"
