"""How good a perceptron is on the rows that it was fitted to and on those held out; its temperature on these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mlsession.heads.blocks import BLOCK_ROWS, block_of, fixed_blocks
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.protocol import TrainingRows
from mlsession.heads.temperature import fit_temperature
from mlsession.session.phase import Array

MOST_JUDGED = 20_000
"""Rows that a temperature is fitted on, at most: one number needs no more, and their logits are in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of some rows."""

    loss: float
    """The mean cross-entropy, weighted by class; nats. NaN without rows."""
    accuracy: float
    """The share that is classified correctly; each row counts alike."""


def score(
    head: PerceptronHead,
    rows: TrainingRows,
    fitted: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.int64],
    class_weights: Array,
) -> tuple[Score, Score]:
    """Of the rows at `fitted` and of those at `held_out` (ascending places), in one pass; `class_weights` float64 [K].

    See `heads.blocks` for why the blocks are fixed.
    """
    module, weights = head.module(), torch.tensor(class_weights, dtype=torch.float64)
    parts = (fitted, held_out)
    sums = np.zeros((2, 4))
    start = 0
    for block in fixed_blocks(rows):
        stop = start + len(block.labels)
        truth = block.labels[:, None]
        scores = torch.log_softmax(module(block.features).to(torch.float64), dim=1)
        counted = weights[block.labels]
        losses = -scores.gather(1, truth)[:, 0] * counted
        correct = (scores.argmax(dim=1) == block.labels).to(torch.float64)
        for part, places in enumerate(parts):
            first, last = np.searchsorted(places, (start, stop))
            chosen = torch.from_numpy(places[first:last] - start)
            sums[part] += [float(each[chosen].sum()) for each in (losses, counted, correct)] + [len(chosen)]
        start = stop
    one, other = (Score(loss=_mean(loss, weight), accuracy=_mean(right, count)) for loss, weight, right, count in sums)
    return one, other


def held_out_temperature(head: PerceptronHead, rows: TrainingRows, held_out: npt.NDArray[np.int64]) -> float:
    """See `fit_temperature`: on `MOST_JUDGED` of the rows at `held_out`, at most, each of which counts alike."""
    module, logits, labels = head.module(), [], []
    # Evenly over all of them: they are in the order of the images, and that is mostly by label.
    count = min(len(held_out), MOST_JUDGED)
    judged = held_out[np.linspace(0, len(held_out) - 1, count).astype(np.int64)]
    for start in range(0, count, BLOCK_ROWS):
        block = block_of(rows.take(judged[start : start + BLOCK_ROWS]))
        logits.append(module(block.features).numpy())
        labels.append(block.labels.numpy())
    return fit_temperature(np.concatenate(logits), np.concatenate(labels)) if logits else 1.0


def _mean(total: float, count: float) -> float:
    return float(total / count) if count else float("nan")
