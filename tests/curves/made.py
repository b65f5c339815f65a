"""Material of a curve, made up: classes are directions, images lie about them, and more images tell the way."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from mlsession.curves.measured import Material
from mlsession.phases.features import FeatureTable
from mlsession.randomness import keyed_generator


def contents(count: int, what: str = "image") -> npt.NDArray[np.uint8]:
    """uint8 [count, 32]: the SHA-256 of different contents."""
    each = [hashlib.sha256(f"{what} {number}".encode()).digest() for number in range(count)]
    return np.frombuffer(b"".join(each), dtype=np.uint8).reshape(count, 32)


def made_material(each: int, classes: int = 4, seed: int = 0, width: int = 40, spread: float = 2.2) -> Material:
    """`each` images of every class, and one more view of every second one."""
    generator = keyed_generator(seed, "made material")
    labels = np.arange(each * classes) % classes
    of_row = np.repeat(np.arange(len(labels)), np.where(np.arange(len(labels)) % 2, 1, 2))
    original = np.r_[True, of_row[1:] != of_row[:-1]]
    middles = keyed_generator(0, "middles").standard_normal((classes, width))
    features = (middles[labels] + spread * generator.standard_normal((len(labels), width)))[of_row]
    features[~original] += 0.1
    every = np.ones(len(of_row), dtype=np.bool_)
    digests = contents(len(labels), f"image of {seed}")
    return Material(
        table=FeatureTable(
            features=features.astype(np.float16),
            labels=labels[of_row],
            image=of_row,
            digests=digests,
            original=original,
            training=every,
            validation=~every,
        ),
        rows=np.arange(len(of_row)),
        image=of_row,
        labels=labels,
        digests=digests,
        classes=tuple(f"class {number}" for number in range(classes)),
    )
