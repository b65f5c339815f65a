"""Whether one classifier is better than another, beyond the noise, by what both say of the same images; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import cast

import numpy as np
import numpy.typing as npt

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """A second classifier's right answers against a first one's, image by image.

    Raises `InvalidParameter` for fewer than two images, of which no standard error follows, or counts that do not fit.
    """

    judged: int
    """Images, n."""
    gained: int
    """Those that only the second one gets right, b."""
    lost: int
    """Those that only the first one gets right, c."""

    def __post_init__(self) -> None:
        if self.judged < 2:
            raise InvalidParameter("judged", self.judged, "classifiers are compared on two images or more")
        if min(self.gained, self.lost) < 0 or self.gained + self.lost > self.judged:
            counts = f"{self.gained} gained and {self.lost} lost"
            raise InvalidParameter("judged", self.judged, f"{counts} are not among so many images")

    @property
    def difference(self) -> float:
        """The second one's accuracy less the first one's: (b - c) / n."""
        return (self.gained - self.lost) / self.judged

    @property
    def standard_error(self) -> float:
        """Of the difference: the standard deviation of 1 for each gained image, -1 for each lost one and 0 for each
        other, by n - 1, divided by the square root of n."""
        n, net = self.judged, self.gained - self.lost
        return sqrt((n * (self.gained + self.lost) - net**2) / (n - 1)) / n

    @property
    def is_better(self) -> bool:
        """Whether the second one is better by more than the standard error: never by a tie, nor by one image alone.

        Decided in whole numbers, so that no rounding does: (b - c) / n is larger than the standard error just where
        b > c and (b - c)^2 > b + c, which says that McNemar's statistic is above 1 (Psychometrika 12 (1947)).
        """
        net = self.gained - self.lost
        return net > 0 and net**2 > self.gained + self.lost

    def to_json(self) -> dict[str, Json]:
        """The stored form; difference and standard error are for those who read it."""
        return {
            "judged": self.judged,
            "gained": self.gained,
            "lost": self.lost,
            "difference": self.difference,
            "standard_error": self.standard_error,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> PairedDifference:
        """Read `to_json` back. Raises `KeyError`, `TypeError` or `InvalidParameter` for another object."""
        judged, gained, lost = (int(cast(int, data[name])) for name in ("judged", "gained", "lost"))
        return cls(judged=judged, gained=gained, lost=lost)


def paired_difference(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PairedDifference:
    """Of what two classifiers got right, bool [n] each, for the same images in the same order."""
    if first.shape != second.shape:
        raise InvalidParameter("second", second.shape, f"must be of the same images as the first, {first.shape}")
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return PairedDifference(judged=len(first), gained=gained, lost=lost)
