"""Pictures to augment: real photos, and patterns whose every change can be told."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.photos import PHOTOS

Pixels = npt.NDArray[np.uint8]


def photo_bytes(number: int = 0) -> bytes:
    """One of the photos that the project ships."""
    return sorted((PHOTOS / "train" / "Kiwi").iterdir())[number].read_bytes()


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def png(pixels: Pixels) -> bytes:
    """A lossless file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def gradient(width: int, height: int) -> Pixels:
    """Red grows to the right, green downwards; blue is 128. uint8 [height, width, 3]."""
    red = np.broadcast_to(np.linspace(40, 200, width), (height, width))
    green = np.broadcast_to(np.linspace(40, 200, height)[:, None], (height, width))
    return np.stack([red, green, np.full((height, width), 128.0)], axis=2).round().astype(np.uint8)
