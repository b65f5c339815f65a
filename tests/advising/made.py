"""Evidence made of a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlsession.advising.commands import TrainingLine
from mlsession.advising.evidence import Evidence
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.scores import BINS
from mlsession.session.phase import Array

LINE = TrainingLine(session="animals.mlsession", data="animals", options={})


def names(count: int) -> tuple[str, ...]:
    return tuple(chr(ord("a") + place) for place in range(count))


def metrics(matrix: Sequence[Sequence[int]] | Array, sure: Mapping[float, tuple[int, int]] | None = None) -> Any:
    """Of a confusion matrix; `sure` has by place, 0 to 1, how many images of that confidence are wrong and right."""
    counts = None
    if sure is not None:
        counts = np.zeros((2, BINS), dtype=np.int64)
        for place, both in sure.items():
            counts[:, round(place * (BINS - 1))] = both
    table = np.array(matrix, dtype=np.int64)
    return ClassifierMetrics(classes=names(len(table)), confusion_matrix=table, log_loss=0.1, confidence_counts=counts)


def right(counts: Sequence[int], wrong: Sequence[int] | int = 0) -> Array:
    """A confusion matrix of images by class, of which some of each are taken for the next class."""
    size = len(counts)
    missed = [wrong] * size if isinstance(wrong, int) else wrong
    table = np.zeros((size, size), dtype=np.int64)
    for place, (count, miss) in enumerate(zip(counts, missed, strict=True)):
        table[place, place] = count - miss
        table[place, (place + 1) % size] += miss
    return table


def evidence(**parts: Any) -> Evidence:
    """Of 5 classes, 60 training images of each, all right, and 40 test images of each, all but one right.

    `training`, `validation` and `test` are confusion matrices, None for none, or metrics.
    """
    given: dict[str, Any] = {"training": right([60] * 5), "test": right([40] * 5, 1), **parts}
    chosen = {
        part: table if isinstance(table, ClassifierMetrics) else metrics(table)
        for part in ("training", "validation", "test")
        if (table := given.pop(part, None)) is not None
    }
    size = len(next(iter(chosen.values())).classes)
    return Evidence(**{"classes": names(size), "metrics": chosen, "line": LINE, **given})
