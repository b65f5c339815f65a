"""Compression of an export: its numbers in fewer bits, and what that may cost. Values only.

float16       half precision: in an `.mlpackage` weights and computation, in an `.mlmodel` the weights
int8          weights as whole numbers of 8 bits, with a scale of its own for each output channel, symmetric
palettize8    weights as places in a table of 256 numbers for each layer, found by k-means; palettize6: of 64,
palettize4    of 16
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from mlsession.errors import InvalidParameter

Method: TypeAlias = Literal["float16", "int8", "palettize8", "palettize6", "palettize4"]
METHODS: tuple[Method, ...] = get_args(Method)

SUFFIXES = (".mlmodel", ".mlpackage")
"""The formats that are compressed."""

FEWEST_NUMBERS = 2048
"""Weights of fewer numbers stay as they are under int8 and palettes: they are no size to speak of."""

MAX_CHANGED = 0.05
"""The share of pictures that may get another label, unless asked otherwise."""

TOLERANCES: Mapping[Method, float] = MappingProxyType(
    {"float16": 0.05, "int8": 0.5, "palettize8": 0.5, "palettize6": 1.0, "palettize4": 1.0}
)
"""The largest difference of one probability that passes; 1: labels alone decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What is asked for. Raises `InvalidParameter` for another method, and for a share that is none."""

    method: Method
    max_changed: float = MAX_CHANGED
    """The largest share of pictures, 0 to 1, that may get another label than from the model; more is an error."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidParameter("compress", self.method, f"must be one of {', '.join(METHODS)}")
        if not 0 <= self.max_changed <= 1:
            raise InvalidParameter("max_changed", self.max_changed, "must be a share, from 0 to 1")

    @property
    def bits(self) -> int:
        """Bits of a number."""
        return {"float16": 16, "int8": 8}.get(self.method) or int(self.method[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionLoss:
    """What a compression came to: the file's answers against the trained model's, on the same pictures."""

    method: Method
    uncompressed_size_bytes: int
    """What the same export takes without it."""
    num_images: int
    """Pictures that were compared: photos of the session, or the made-up ones where none could be read."""
    num_changed: int
    """How many of these get another label than from the model."""
    max_changed: float
    """The share of these that would have passed."""
    max_difference: float
    """The largest difference of a probability on these."""
    num_labeled: int = 0
    """How many of these are test images of the session, of which the true label is known."""
    uncompressed_accuracy: float | None = None
    """The model's share of right answers on them; None where there are none."""
    accuracy: float | None = None
    """The file's."""


def checked_compression(suffix: str, method: str | None, max_changed: float | None = None) -> Compression | None:
    """What was asked for, or None. Raises `InvalidParameter` for a format, a method or a share that cannot be."""
    if method is None:
        if max_changed is not None:
            raise InvalidParameter(
                "max_changed", max_changed, "is for compressed exports; say what to compress to, too"
            )
        return None
    asked = _asked(method, max_changed)
    if suffix not in SUFFIXES:
        raise InvalidParameter(
            "compress",
            method,
            f"{suffix} files are not compressed, {' and '.join(SUFFIXES)} are; leave it out for this one",
        )
    return asked


def checked_folder_compression(
    suffixes: Sequence[str], method: str | None, max_changed: float | None = None
) -> Compression | None:
    """What was asked for of the Core ML files of a folder, whose files end in `suffixes`, or None; its other files
    stay as they are. Raises as `checked_compression` does, and where it has no Core ML file."""
    if method is not None and not set(suffixes) & set(SUFFIXES):
        _asked(method, max_changed)
        reason = "is of Core ML files, and the folder gets none; add the format mlpackage or mlmodel, or leave it out"
        raise InvalidParameter("compress", method, reason)
    return checked_compression(SUFFIXES[0], method, max_changed)


def _asked(method: str, max_changed: float | None) -> Compression:
    share = MAX_CHANGED if max_changed is None else max_changed
    return Compression(method=method, max_changed=share)  # type: ignore[arg-type]  # checked there
