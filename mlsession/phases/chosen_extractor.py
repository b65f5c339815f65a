"""What the choosing phase ends with: which extractor is kept, how good each was, and why; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from mlsession.errors import InternalError
from mlsession.heads.comparison import Comparison, Rating
from mlsession.heads.paired import PairedDifference
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Json, PhaseState

CHOSEN = "chosen"
"""The plain value of an ended phase that holds an `ExtractorChoice`."""
USED = "used"
"""The array of an ended phase with the contents that were chosen on, uint8 [n, 32], ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorChoice:
    """Which of some extractors is kept; see `mlsession.phases.choose`."""

    names: tuple[str, ...]
    """Of all candidates, in order; the first one is kept unless a later one is surely better."""
    images: int
    """Training images that each of them was tried on."""
    folds: int = 0
    """How many parts of the images were judged, each by heads that were fitted to the others."""
    judged: int = 0
    """Images that each candidate was judged on; 0 where there were too few."""
    ratings: tuple[Rating, ...] = ()
    """Of the candidates that were judged, by name: none where there were too few images to judge on, and not all where
    those that are left could not have been better."""
    differences: tuple[PairedDifference, ...] = ()
    """Of each judged candidate but the first to the one that was kept before it."""

    def __post_init__(self) -> None:
        if [each.kind for each in self.ratings] != list(self.names[: len(self.ratings)]):
            raise InternalError(f"ratings of {', '.join(each.kind for each in self.ratings)}")
        if len(self.differences) != max(len(self.ratings) - 1, 0):
            raise InternalError(f"{len(self.differences)} differences of {len(self.ratings)} extractors")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Each judged candidate but the first against the one that was kept before it."""
        found: list[Comparison] = []
        kept = self.ratings[0] if self.ratings else None
        for rating, difference in zip(self.ratings[1:], self.differences, strict=True):
            assert kept is not None
            found.append(Comparison(first=kept, second=rating, difference=difference))
            kept = found[-1].kept
        return tuple(found)

    @property
    def kept(self) -> str:
        """The name of the extractor that the session uses."""
        compared = self.comparisons
        return compared[-1].kept.kind if compared else self.names[0]

    @property
    def reason(self) -> str:
        """Why, in a sentence without its full stop."""
        if not self.ratings:
            return "there are too few images to choose by"
        said = [each.reason for each in self.comparisons]
        if left := self.names[len(self.ratings) :]:
            right = f"{self.kept} gets all images right, or all but one"
            said.append(f"{right}, so {' and '.join(left)} cannot be better by more than the standard error")
        return "; ".join(said)

    def with_judged(self, rating: Rating, difference: PairedDifference | None) -> ExtractorChoice:
        """After the next candidate; the first one is compared with none."""
        compared = self.differences if difference is None else (*self.differences, difference)
        return replace(self, ratings=(*self.ratings, rating), differences=compared)

    def to_json(self) -> dict[str, Json]:
        """The stored form; `kept`, `comparisons` and `reason` are for those who read it."""
        return {
            "kept": self.kept,
            "reason": self.reason,
            "names": list(self.names),
            "images": self.images,
            "folds": self.folds,
            "judged": self.judged,
            "ratings": [_rating_json(each) for each in self.ratings],
            "comparisons": [_comparison_json(each) for each in self.comparisons],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ExtractorChoice:
        """Read `to_json` back. Raises `KeyError`, `TypeError`, `InvalidParameter` or `InternalError` for another."""
        compared = cast(list[dict[str, Json]], data["comparisons"])
        return cls(
            names=tuple(map(str, cast(list[Json], data["names"]))),
            images=int(cast(int, data["images"])),
            folds=int(cast(int, data["folds"])),
            judged=int(cast(int, data["judged"])),
            ratings=tuple(
                Rating.from_json({**each, "kind": each["extractor"]})
                for each in cast(list[dict[str, Json]], data["ratings"])
            ),
            differences=tuple(PairedDifference.from_json(each) for each in compared),
        )


def extractor_chosen(state: PhaseState) -> ExtractorChoice | None:
    """What a state of choosing holds that has ended; None for another one. Raises `DamagedData`."""
    if CHOSEN not in state.data:
        return None
    with as_written("state of choosing"):
        return ExtractorChoice.from_json(cast(dict[str, Json], state.data[CHOSEN]))


def _rating_json(rating: Rating) -> dict[str, Json]:
    return {"extractor": rating.kind, "accuracy": rating.accuracy, "log_loss": rating.log_loss}


def _comparison_json(comparison: Comparison) -> dict[str, Json]:
    return {
        "first": comparison.first.kind,
        "second": comparison.second.kind,
        **comparison.difference.to_json(),
        "kept": comparison.kept.kind,
        "reason": comparison.reason,
    }
