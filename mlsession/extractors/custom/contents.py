"""What a network of one's own is, as a value: all that gives its features their meaning. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.files import CORE_ML, FORMATS, MODULE, PACKAGE, WEIGHTS
from mlsession.extractors.custom.input import PictureInput

KIND = "custom"
"""What its stored form calls itself, and what a person types before its place."""
MOST_FEATURES = 16_384
"""Numbers for one picture. Heads are fitted on blocks of 4,096 rows, which then have 256 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a network is, whatever it is called and wherever it lies."""

    format: str
    weights: str
    """What it is called by digest: of its file or files (`files.digest_of`), of a module of its tensors."""
    output: str
    """The name of the output that is taken, flattened to one vector a picture."""
    dimension: int
    input: PictureInput
    reference: str | None = None
    """Of a module: what the caller calls it."""

    def __post_init__(self) -> None:
        if self.format not in (*FORMATS.values(), MODULE) or (self.format == MODULE) != (self.reference is not None):
            raise InvalidParameter("format", self.format, f"must be one of {', '.join(FORMATS.values())} or {MODULE}")
        if not WEIGHTS.fullmatch(self.weights):
            raise InvalidParameter("weights", self.weights, "must be a kind of SHA-256 and 64 hexadecimal digits")
        if type(self.dimension) is not int or not 1 <= self.dimension <= MOST_FEATURES:
            raise InvalidParameter("dimension", self.dimension, f"must be a whole number from 1 to {MOST_FEATURES:,}")

    def said(self) -> dict[str, str]:
        """The options of `CustomFeatureExtractor` with which the same file gives the same, as texts by name."""
        return self.input.said(is_described=self.format in (CORE_ML, PACKAGE))
