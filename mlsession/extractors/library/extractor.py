"""Networks of timm and torchvision as values that a session can store; neither they nor torch are imported here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from mlsession.errors import InvalidParameter
from mlsession.extractors.framing import picture_side
from mlsession.images.geometry import PREPARATION
from mlsession.session.phase import Json

FILE = "file-sha256"
"""Weights are named by the SHA-256 of a file's bytes ..."""
TENSORS = "tensors-sha256"
"""... or, those that come from the library's own hub, by `weights.tensors_digest`."""

_WEIGHTS = re.compile(rf"({FILE}|{TENSORS}):[0-9a-f]{{64}}")
_NETWORK = re.compile(r"[A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryExtractor:
    """A network of a library with weights that are known by digest: all that gives its features their meaning.

    Made by `timm_extractor` or `torchvision_extractor`, which load it once to fill this in. Two are equal if their
    features are; where the weights lie is no part of it.
    """

    library: ClassVar[str] = ""

    network: str
    """As the library calls it: `resnet18`, `vit_small_patch16_224.augreg_in21k`."""
    weights: str
    """What the weights are: `file-sha256:` or `tensors-sha256:` and 64 hexadecimal digits."""
    dimension: int
    """The length of a feature vector: pooled, before the classifier."""
    network_side: int
    """Pixels that the network sees."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue, on a scale where white is 1."""
    std: tuple[float, float, float]
    """What they are divided by then."""
    location: str | None = field(default=None, compare=False)
    """The file of weights, a path or URL; None: the library's own hub."""
    storage_options: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """For fsspec, to reach `location`; never shown, never stored."""

    def __post_init__(self) -> None:
        if not _NETWORK.fullmatch(self.network):
            raise InvalidParameter("network", self.network, f"is not the name of a network of {self.library}")
        if not _WEIGHTS.fullmatch(self.weights):
            raise InvalidParameter("weights", self.weights, f"must be {FILE}: or {TENSORS}: and 64 hexadecimal digits")
        for parameter, value in (("dimension", self.dimension), ("network_side", self.network_side)):
            if type(value) is not int or value < 1:
                raise InvalidParameter(parameter, value, "must be a whole number, 1 or more")
        for parameter, values, least in (("mean", self.mean, -math.inf), ("std", self.std, 0.0)):
            if len(values) != 3 or not all(math.isfinite(value) and value > least for value in values):
                raise InvalidParameter(parameter, values, "must be three finite numbers, those of std above 0")

    @property
    def name(self) -> str:
        """As `extractor_named` takes it."""
        return f"{self.library}:{self.network}"

    @property
    def identity(self) -> str:
        """What its features mean; see `FeatureExtractor.identity`. Known without loading it."""
        kind, _, digest = self.weights.partition(":")
        mean, std = (",".join(map(repr, values)) for values in (self.mean, self.std))
        sides = f"{self.input_side}>{self.network_side}"
        return f"{self.name} {kind}:{digest[:16]} {PREPARATION} {sides} (x/255-({mean}))/({std})"

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return picture_side(self.network_side)

    def to_json(self) -> dict[str, Json]:
        """For a session's record, without `location`; `extractor_from_json` takes it back."""
        return {
            "kind": self.library,
            "network": self.network,
            "weights": self.weights,
            "network_side": self.network_side,
            # Not "dimension": a refused session names the first member that differs, and `identity` says more.
            "num_features": self.dimension,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """What `to_json` gave. Raises `InvalidParameter`."""
        network, weights = value.get("network"), value.get("weights")
        dimension, side = value.get("num_features"), value.get("network_side")
        if not (isinstance(network, str) and isinstance(weights, str) and isinstance(dimension, int)):
            raise InvalidParameter("feature_extractor", dict(value), "names no network, weights or num_features")
        if not isinstance(side, int):
            raise InvalidParameter("network_side", side, "must be a whole number, 1 or more")
        return cls(
            network=network,
            weights=weights,
            dimension=dimension,
            network_side=side,
            mean=_three("mean", value.get("mean")),
            std=_three("std", value.get("std")),
        )

    def at(self, location: str | None, storage_options: Mapping[str, object] | None = None) -> Self:
        """The same with its weights in another place."""
        return replace(self, location=location, storage_options=dict(storage_options or {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmExtractor(LibraryExtractor):
    """A network of timm (R. Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models)."""

    library: ClassVar[str] = "timm"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchvisionExtractor(LibraryExtractor):
    """A network for classification of torchvision.models."""

    library: ClassVar[str] = "torchvision"


def _three(parameter: str, value: object) -> tuple[float, float, float]:
    if not (isinstance(value, list) and len(value) == 3 and all(isinstance(item, int | float) for item in value)):
        raise InvalidParameter(parameter, value, "must be three numbers")
    red, green, blue = map(float, value)
    return red, green, blue
