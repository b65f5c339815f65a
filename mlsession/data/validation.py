"""How the images to validate on are chosen; values that are stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json


class ValidationKind(StrEnum):
    """Where the validation images come from."""

    AUTOMATIC = "automatic"
    SPLIT = "split"
    DATA = "data"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Made by `automatic`, `split`, `data` or `none`."""

    kind: ValidationKind
    ratio: float | None = None
    """The share of the training images to hold out, above 0 and below 1; for `split` only."""
    seed: int = 0
    source: DataSource | None = None
    """Images of their own to validate on; for `data` only."""

    def __post_init__(self) -> None:
        if (self.ratio is not None) != (self.kind is ValidationKind.SPLIT):
            raise InvalidParameter("ratio", self.ratio, "a split needs a ratio, and nothing else has one")
        if self.ratio is not None and not (math.isfinite(self.ratio) and 0 < self.ratio < 1):
            raise InvalidParameter("ratio", self.ratio, "must lie between 0 and 1; for no validation say none")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InvalidParameter("seed", self.seed, "must be a whole number")
        if (self.source is not None) != (self.kind is ValidationKind.DATA):
            raise InvalidParameter("source", self.source, "validation data need a source, and nothing else has one")

    @classmethod
    def automatic(cls, seed: int = 0) -> Validation:
        """Hold out a share that follows from the number of images; see `automatic_ratio`."""
        return cls(kind=ValidationKind.AUTOMATIC, seed=seed)

    @classmethod
    def split(cls, ratio: float, seed: int = 0) -> Validation:
        """Hold out this share of the training images, of each class alike; see `data.split`.

        `ModelParameters.groups` says which of them belong together and are not divided.
        """
        return cls(kind=ValidationKind.SPLIT, ratio=ratio, seed=seed)

    @classmethod
    def data(cls, source: DataSource) -> Validation:
        """Validate on other images; all of the training images are trained on."""
        return cls(kind=ValidationKind.DATA, source=source)

    @classmethod
    def none(cls) -> Validation:
        """Do not validate."""
        return cls(kind=ValidationKind.NONE)

    def ratio_for(self, count: int) -> float:
        """The share of `count` readable training images to hold out; 0 for `data` and `none`."""
        if self.kind is ValidationKind.AUTOMATIC:
            return automatic_ratio(count)
        return 0.0 if self.ratio is None else self.ratio

    def to_json(self) -> dict[str, Json]:
        """The stored form; of a source only its kind and URL."""
        match self.kind:
            case ValidationKind.AUTOMATIC:
                return {"kind": "automatic", "seed": self.seed}
            case ValidationKind.SPLIT:
                return {"kind": "split", "ratio": self.ratio, "seed": self.seed}
            case _ if self.source is not None:
                return {"kind": "data", "source": self.source.to_json()}
        return {"kind": "none"}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Validation:
        """Read `to_json` back; a source comes without storage options. Raises `InvalidParameter`."""
        kind, ratio, seed, source = (data.get(name) for name in ("kind", "ratio", "seed", "source"))
        if kind not in tuple(ValidationKind):
            raise InvalidParameter("validation", kind, f"must be one of {', '.join(ValidationKind)}")
        if not (ratio is None or isinstance(ratio, float)):
            raise InvalidParameter("ratio", ratio, "must be a number")
        if not (seed is None or isinstance(seed, int)):
            raise InvalidParameter("seed", seed, "must be a whole number")
        return cls(
            kind=ValidationKind(str(kind)),
            ratio=ratio,
            seed=seed or 0,
            source=DataSource.from_json(source) if isinstance(source, dict) else None,
        )


def automatic_ratio(count: int) -> float:
    """The share of `count` images to hold out: none of fewer than 50, 10 % up to 199, 5 % from 200 on."""
    if count < 50:
        return 0.0
    return 0.10 if count < 200 else 0.05
