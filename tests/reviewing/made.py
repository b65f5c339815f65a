"""Rows of a review, made up: classes are directions, images lie about them."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from mlsession.randomness import keyed_generator
from mlsession.reviewing.rows import SOURCES, ReviewRows


def contents(count: int, what: str = "image") -> npt.NDArray[np.uint8]:
    """uint8 [count, 32]: the SHA-256 of different contents."""
    each = [hashlib.sha256(f"{what} {number}".encode()).digest() for number in range(count)]
    return np.frombuffer(b"".join(each), dtype=np.uint8).reshape(count, 32)


def made_rows(
    labels: npt.NDArray[np.int64], seed: int, width: int = 48, spread: float = 0.6, num_test: int = 0
) -> ReviewRows:
    """Images of labels; the last `num_test` are of a test set."""
    generator = keyed_generator(seed, "made rows")
    middles = generator.standard_normal((int(labels.max()) + 1, width))
    features = middles[labels] + spread * generator.standard_normal((len(labels), width))
    source = np.zeros(len(labels), dtype=np.uint8)
    source[len(labels) - num_test :] = SOURCES.index("test")
    place = np.r_[np.arange(len(labels) - num_test), np.arange(num_test)]
    return ReviewRows(
        features=features.astype(np.float16),
        labels=labels,
        digests=contents(len(labels)),
        source=source,
        place=place,
    )
