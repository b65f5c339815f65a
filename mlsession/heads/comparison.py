"""Two kinds of head, judged on the same images: what each came to, which one is kept, and why; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from mlsession.heads.paired import PairedDifference
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What out-of-fold predictions say of a kind of head."""

    kind: str
    """That of its options."""
    accuracy: float
    """The share of the judged images that got their label."""
    log_loss: float
    """Of the head as it would be used; mean over the judged images, weighted by class; nats."""

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {"kind": self.kind, "accuracy": self.accuracy, "log_loss": self.log_loss}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Rating:
        """Read `to_json` back. Raises `KeyError` or `TypeError` for another object."""
        accuracy, log_loss = (float(cast(float, data[name])) for name in ("accuracy", "log_loss"))
        return cls(kind=str(data["kind"]), accuracy=accuracy, log_loss=log_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A second kind of head against the one that was kept before it."""

    first: Rating
    second: Rating
    difference: PairedDifference
    """Of the second to the first."""

    @property
    def kept(self) -> Rating:
        """The second only where it is better by more than the standard error of the difference."""
        return self.second if self.difference.is_better else self.first

    @property
    def reason(self) -> str:
        """Why, in a sentence without its full stop."""
        points, error = 100 * self.difference.difference, 100 * self.difference.standard_error
        told = f"{self.second.kind} is {abs(points):.2f} points {'better' if points > 0 else 'worse'}"
        if points == 0:
            return f"{self.second.kind} is no better than {self.first.kind}"
        if points < 0:
            return f"{told} than {self.first.kind}"
        than = "more" if self.difference.is_better else "no more"
        return f"{told} than {self.first.kind}, {than} than the standard error of {error:.2f}"

    def to_json(self) -> dict[str, Json]:
        """The stored form; what is kept, and why, is for those who read it."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            **self.difference.to_json(),
            "kept": self.kept.kind,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Comparison:
        """Read `to_json` back. Raises `KeyError`, `TypeError` or `InvalidParameter` for another object."""
        first, second = (Rating.from_json(cast(dict[str, Json], data[name])) for name in ("first", "second"))
        return cls(first=first, second=second, difference=PairedDifference.from_json(data))
