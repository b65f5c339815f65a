"""What was found when an export was compared with the model it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """The proof that goes with an exported file."""

    path: str
    format: str
    """The format in words, such as "Core ML neural network"."""
    spec_version: int
    """The version of the format's specification that the file asks of its reader."""
    size_bytes: int
    num_images: int
    """Pictures on which the file and the model were compared."""
    max_difference: float
    """The largest absolute difference between two probabilities of one class for one picture."""
    verified: bool
    """Whether labels and probabilities agreed; False only where nothing was compared."""
