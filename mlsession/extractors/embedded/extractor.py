"""The extractors that need no download at run time: their weights come with Python packages. No torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from mlsession.errors import InvalidParameter
from mlsession.extractors.framing import picture_side
from mlsession.extractors.weights import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    PackagedWeights,
)
from mlsession.images.geometry import PREPARATION
from mlsession.session.phase import Json

DEFAULT_REVISION = 2
FEATURES = 1280
"""D of every size: the Lite variants do not scale their last convolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteVariant:
    """One size of EfficientNet-Lite, with the factors by which its width and depth are scaled."""

    name: str
    width: float
    depth: float
    network_side: int
    """Pixels that the first convolution sees."""
    weights: PackagedWeights

    @property
    def picture_side(self) -> int:
        """Pixels of the prepared picture, of which the network sees the centre."""
        return picture_side(self.network_side)


LITE0 = LiteVariant(name="efficientnet-lite0", width=1.0, depth=1.0, network_side=224, weights=EFFICIENTNET_LITE0)
LITE1 = LiteVariant(name="efficientnet-lite1", width=1.0, depth=1.1, network_side=240, weights=EFFICIENTNET_LITE1)
LITE2 = LiteVariant(name="efficientnet-lite2", width=1.1, depth=1.2, network_side=260, weights=EFFICIENTNET_LITE2)

_REVISIONS: Mapping[int, LiteVariant] = MappingProxyType({1: LITE2, 2: LITE0})


class _Embedded(ABC):
    """What follows from a name and a network."""

    __slots__ = ()

    @property
    @abstractmethod
    def variant(self) -> LiteVariant:
        """The network behind it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As `extractor_named` takes it."""

    @property
    def identity(self) -> str:
        """What its features mean; see `FeatureExtractor.identity`. Known without loading it."""
        variant = self.variant
        digest, sides = variant.weights.sha256[:16], f"{variant.picture_side}>{variant.network_side}"
        return f"{self.name} {variant.name} sha256:{digest} {PREPARATION} {sides} (x-127.5)/127.5"

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return FEATURES

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return self.variant.picture_side


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePrint(_Embedded):
    """The embedded extractor, at a frozen revision: the same pictures give the same features in every release.

    | revision | network            | trained on  | features | network sees | pictures |
    |----------|--------------------|-------------|----------|--------------|----------|
    | 1        | EfficientNet-Lite2 | ImageNet-1k | 1280     | 260x260      | 297x297  |
    | 2        | EfficientNet-Lite0 | ImageNet-1k | 1280     | 224x224      | 256x256  |

    As in Create ML, the first revision is the larger and slower one. The classifiers of both are as large as each
    other, since both give 1280 features.
    """

    revision: int = DEFAULT_REVISION

    def __post_init__(self) -> None:
        # A bool is an int to Python; True must not pass for revision 1.
        if type(self.revision) is not int or self.revision not in _REVISIONS:
            known = ", ".join(str(revision) for revision in sorted(_REVISIONS))
            raise InvalidParameter("revision", self.revision, f"scene_print has these revisions: {known}")

    @property
    def variant(self) -> LiteVariant:
        """The network behind it."""
        return _REVISIONS[self.revision]

    @property
    def name(self) -> str:
        """As `extractor_named` takes it."""
        return f"scene_print:{self.revision}"

    def to_json(self) -> dict[str, Json]:
        """For a session's record; `extractor_from_json` takes it back."""
        return {"kind": "scene_print", "revision": self.revision}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lite1(_Embedded):
    """EfficientNet-Lite1, between the two revisions of `ScenePrint`: 1280 features, the network sees 240x240."""

    @property
    def variant(self) -> LiteVariant:
        """The network behind it."""
        return LITE1

    @property
    def name(self) -> str:
        """As `extractor_named` takes it."""
        return "lite1"

    def to_json(self) -> dict[str, Json]:
        """For a session's record; `extractor_from_json` takes it back."""
        return {"kind": "lite1"}


EmbeddedExtractor: TypeAlias = ScenePrint | Lite1
"""One whose weights come with a Python package."""
