"""An extractor that is chosen out of some, by how good heads on their features are; no torch.

    ml.TransferLearning(feature_extractor="auto")                          # --extractor auto
    ml.TransferLearning(feature_extractor=ml.AutomaticExtractor(candidates=[ml.scene_print(), ml.scene_print(1)]))

See `mlsession.phases.choose` for how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import FeatureExtractorSpec, extractor_from_json
from mlsession.extractors.embedded.extractor import EmbeddedExtractor, Lite1, ScenePrint
from mlsession.session.phase import Json

AUTO = "auto"
"""The name of `AutomaticExtractor()`, and its kind as it is stored."""
CANDIDATES: tuple[EmbeddedExtractor, ...] = (ScenePrint(), ScenePrint(revision=1))
"""The usual ones: the default, and the largest. `Lite1`, which lies between them, was never clearly better than the
first and takes longer; see docs/heads.md."""
MOST_IMAGES = 1_500
"""Of so many the standard error of a difference is half a point, where of 25 images one tells two of them apart."""
FEWEST_IMAGES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticExtractor:
    """The first of some extractors, unless a later one is better beyond the noise.

    Raises `InvalidParameter` for fewer than two candidates, two that are the same, and one that does not come with
    mlsession: those are run alike, and give features of one length.
    """

    candidates: Sequence[EmbeddedExtractor] = CANDIDATES
    """What is tried, in this order; a later one must beat those before it. Kept as a tuple."""
    most_images: int = MOST_IMAGES
    """Of more training images a sample of about so many is looked at."""

    def __post_init__(self) -> None:
        given: object = self.candidates
        names = [getattr(each, "name", None) for each in self.candidates] if isinstance(given, Sequence) else []
        if len(names) < 2 or not all(isinstance(each, ScenePrint | Lite1) for each in self.candidates):
            reason = "must be two or more of the extractors that come with mlsession: scene_print(), scene_print(1), "
            raise InvalidParameter("candidates", names or given, f"{reason}Lite1(); name another one as the extractor")
        if len(set(names)) < len(names):
            raise InvalidParameter("candidates", names, "has the same extractor twice; keep one")
        if isinstance(self.most_images, bool) or not isinstance(self.most_images, int):
            raise InvalidParameter("most_images", self.most_images, "must be a whole number")
        if self.most_images < FEWEST_IMAGES:
            raise InvalidParameter("most_images", self.most_images, f"must be {FEWEST_IMAGES} or more")
        object.__setattr__(self, "candidates", tuple(self.candidates))

    @property
    def name(self) -> str:
        """As `--extractor` takes it."""
        return AUTO

    @property
    def first(self) -> EmbeddedExtractor:
        """What is kept unless another one is better; all candidates are run as it is."""
        return self.candidates[0]

    @property
    def dimension(self) -> int:
        """The length of every candidate's feature vector."""
        return self.first.dimension

    def to_json(self) -> dict[str, Json]:
        """For a session's record, with what each candidate's features mean; `from_json` takes it back."""
        return {
            "kind": AUTO,
            "candidates": [
                {**each.to_json(), "name": each.name, "identity": each.identity} for each in self.candidates
            ],
            "most_images": self.most_images,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> AutomaticExtractor:
        """Read `to_json` back. Raises `KeyError`, `TypeError` or `InvalidParameter` for another object."""
        stored = cast(list[dict[str, Json]], data["candidates"])
        return cls(candidates=[_embedded(each) for each in stored], most_images=cast(int, data["most_images"]))


def stored_extractor(
    value: Mapping[str, Json], location: str | None = None, storage_options: Mapping[str, object] | None = None
) -> FeatureExtractorSpec | AutomaticExtractor:
    """What a session's parameters say of its extractor; see `extractor_from_json`."""
    if value.get("kind") == AUTO:
        return AutomaticExtractor.from_json(value)
    return extractor_from_json(value, location, storage_options)


def _embedded(data: Mapping[str, Json]) -> EmbeddedExtractor:
    if data["kind"] == "lite1":
        return Lite1()
    return ScenePrint(revision=cast(int, data["revision"]))
