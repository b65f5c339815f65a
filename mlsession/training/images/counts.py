"""The images of a session by their use, and those that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCounts:
    """Images by their use. Before extracting has ended `train` counts the images as they were listed."""

    train: int
    validation: int | None
    """None while the images to hold out have not been chosen: that is done when extracting ends."""
    test: int
    """Those listed; once evaluated, those that could be read."""
    skipped: int
    """Those of any source that cannot be read, as far as they have been looked at."""

    def to_json(self) -> dict[str, Json]:
        return {"train": self.train, "validation": self.validation, "test": self.test, "skipped": self.skipped}


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedImage:
    """An image that cannot be read, with the reason; `path` is relative to the root of its source."""

    path: str
    source: str
    """"training", "validation" (images of their own) or "test"."""
    reason: str

    def to_json(self) -> dict[str, Json]:
        return {"path": self.path, "source": self.source, "reason": self.reason}
