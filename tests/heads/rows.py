"""Rows to fit heads on: overlapping clusters of non-negative features, as a backbone gives them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlsession.heads.blocks import Rows
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays


def clusters(count: int, features: int, classes: int, seed: int = 0) -> tuple[Array, Array]:
    """float32 [count, features] and int64 [count]; every class has a row."""
    generator = keyed_generator(seed, "clusters")
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, count - classes)])
    centres = generator.normal(size=(classes, features))
    values = np.maximum(centres[labels] + 2.0 * generator.normal(size=(count, features)), 0)
    # Features of very different scale and offset, one of them constant.
    values = values * np.exp(generator.normal(size=features)) + generator.normal(size=features)
    values[:, 0] = 0.1
    return values.astype(np.float32), labels.astype(np.int64)


def rows_of(features: Array, labels: Array, batch: int | None = None) -> Rows:
    """A pass in batches of `batch` rows; all at once by default."""

    def rows() -> Iterator[Arrays]:
        step = batch or max(len(labels), 1)
        for start in range(0, len(labels), step):
            yield {"features": features[start : start + step], "labels": labels[start : start + step]}

    return rows


def names(count: int) -> list[str]:
    """Names of classes."""
    return [f"class {place}" for place in range(count)]
