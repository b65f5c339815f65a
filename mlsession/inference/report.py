"""What came of predicting many images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsession.display.html import card, facts
from mlsession.session.phase import Json
from mlsession.store.location import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionReport:
    """A file of predictions, and what is in it."""

    output: str
    """Where it is."""
    session: str
    """Where the session is that it came out of."""
    num_images: int
    """Its rows."""
    num_skipped: int
    """Of these, the images that cannot be read."""
    num_rejected: int = 0
    """Of these, the images whose best label was less sure than was asked for."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Images by the label that they got, for every label of the model."""
    size_bytes: int

    @property
    def num_predicted(self) -> int:
        """Images that got a label."""
        return self.num_images - self.num_skipped - self.num_rejected

    def to_json(self) -> dict[str, Json]:
        """A JSON object; locations without credentials."""
        return {
            "output": redact(self.output),
            "session": redact(self.session),
            "images": self.num_images,
            "predicted": self.num_predicted,
            "skipped": self.num_skipped,
            "rejected": self.num_rejected,
            "counts": dict(self.counts),
            "size_bytes": self.size_bytes,
        }

    def _repr_html_(self) -> str:
        found = {label: f"{count:,}" for label, count in self.counts.items() if count}
        about = {"output": redact(self.output), "skipped": f"{self.num_skipped:,}"}
        if self.num_rejected:
            about["rejected"] = f"{self.num_rejected:,}"
        return card(type(self).__name__, f"{self.num_predicted:,} images", [facts({**about, **found})])
