"""What a scan keeps of one picture: a few numbers, from one decoding at reduced size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlsession.errors import UnreadableImage
from mlsession.images.decode import inspect_image
from mlsession.images.geometry import ENOUGH
from mlsession.scanning.fingerprint import SIDE, fingerprint

LOOK = 256
"""The short side in pixels at which pictures are compared in sharpness and brightness; smaller ones as they are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """What is measured of a picture that can be read. Levels are 0 to 255."""

    width: int
    """Pixels of the whole picture, upright."""
    height: int
    format: str
    """By the file's first bytes; see `Inspected`."""
    orientation: int
    """By Exif, 1 to 8."""
    dark_end: int
    """The level of grey that 5 % of the pixels do not exceed."""
    bright_end: int
    """The level of grey that 95 % of the pixels do not exceed."""
    contrast: float
    """Standard deviation of the levels: of grey, or of the channel that varies most in the picture at 32x32."""
    sharpness: float
    """Variance of the Laplacian (levels squared) at `LOOK`: J. L. Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy: a comparative study", ICPR 2000."""
    colour: float
    """How far the channels lie from their mean, on average, at 32x32: 0 for shades of grey."""
    hash: int | None
    """See `fingerprint`; None for a picture without contrast."""
    direction: npt.NDArray[np.float16] | None
    """float16 [64]; see `fingerprint`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One file: its content, and how it looks or why it cannot be read."""

    digest: bytes
    """SHA-256 of the file."""
    look: Look | None = None
    reason: str = ""
    """Why it cannot be read; "" if it can."""


def measure(data: bytes, name: str) -> Measured:
    """Looks at the bytes of one file; `name` is used in reasons only. Raises only what the bytes do not explain."""
    digest = hashlib.sha256(data).digest()
    try:
        return Measured(digest=digest, look=_look(data, name))
    except UnreadableImage as error:
        return Measured(digest=digest, reason=error.reason)


def _look(data: bytes, name: str) -> Look:
    inspected = inspect_image(data, name, ENOUGH * LOOK)
    picture = inspected.picture
    scale = min(LOOK / min(picture.size), 1.0)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    grey = picture.convert("L").resize(size, Image.Resampling.BILINEAR)
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    tiny = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0), dtype=np.float32)
    levels = np.array(grey.histogram(), dtype=np.int64)
    found = fingerprint(np.asarray(small))
    return Look(
        width=inspected.width,
        height=inspected.height,
        format=inspected.format,
        orientation=inspected.orientation,
        dark_end=_quantile(levels, 0.05),
        bright_end=_quantile(levels, 0.95),
        contrast=max(_deviation(levels), float(tiny.reshape(-1, 3).std(axis=0).max())),
        sharpness=sharpness(np.asarray(grey)),
        colour=float(np.abs(tiny - tiny.mean(axis=2, keepdims=True)).mean()),
        hash=found[0] if found else None,
        direction=found[1] if found else None,
    )


def sharpness(grey: npt.NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of uint8 [H, W]; 0 where there is no pixel with four neighbours."""
    if min(grey.shape) < 3:
        return 0.0
    wide = grey.astype(np.int16)
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float32))


def _quantile(levels: npt.NDArray[np.int64], share: float) -> int:
    """The least level that at least this share of the pixels do not exceed, of a histogram int64 [256]."""
    below = np.cumsum(levels)
    return int(np.searchsorted(below, share * below[-1]))


def _deviation(levels: npt.NDArray[np.int64]) -> float:
    """The standard deviation, of a histogram int64 [256]."""
    values, count = np.arange(len(levels)), levels.sum()
    mean = float(levels @ values) / count
    return float(np.sqrt(levels @ (values - mean) ** 2 / count))
