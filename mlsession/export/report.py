"""What was found when an export was compared with the model it came from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from mlsession.export.compression import CompressionLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """The proof that goes with an exported file."""

    path: str
    format: str
    """The format in words, such as "Core ML neural network"."""
    spec_version: int
    """The version of the format's specification that the file asks of its reader; of ONNX that of its operators."""
    size_bytes: int
    num_images: int
    """Pictures on which the file and the model were compared."""
    max_difference: float | None
    """The largest absolute difference between two probabilities of one class for one picture; None where nothing was
    compared."""
    verified: bool
    """Whether labels and probabilities agreed; of a compressed export, whether what it lost (`compression`) is within
    what was allowed. False only where nothing was compared."""
    reason: str = ""
    """Why nothing was compared."""
    num_photos: int = 0
    """How many of the pictures were photos of the session; the others are made up, see `verify.proof_images`."""
    tolerance: float | None = None
    """The largest difference that would have passed; None where nothing was compared."""
    num_labels_equal: int = 0
    """Pictures that got the model's own label. Fewer than `num_images` only where its two best classes are so close
    that rounding decides."""
    scaled_difference: float | None = None
    """The largest difference for pictures of other sizes, where the file scales them itself; None where it does not."""
    runtime: str = ""
    """What ran the file, with its version."""
    seconds: float | None = None
    """One picture of the network's own size in that runtime, in one thread of this CPU: the median; None where that
    runtime is not the one that the format is for."""
    model_size_bytes: int | None = None
    """The trained network's parameters and constants in memory, as float32."""
    model_seconds: float | None = None
    """One picture by the trained network in torch, in one thread of this CPU: the median."""
    compression: CompressionLoss | None = None
    """What fewer bits came to; None where all are float32 as in the model."""

    def to_bytes(self) -> bytes:
        """JSON, as it lies beside the export."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


def not_verified(path: str, format: str, spec_version: int, size_bytes: int, reason: str) -> ExportReport:
    """Of a file that cannot be run here, and is written all the same: whoever takes it must try it."""
    return ExportReport(
        path=path,
        format=format,
        spec_version=spec_version,
        size_bytes=size_bytes,
        num_images=0,
        max_difference=None,
        verified=False,
        reason=reason,
    )
