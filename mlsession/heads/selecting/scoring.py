"""How good out-of-fold predictions are, and how sure that is; numpy only."""

from __future__ import annotations

import numpy as np

from mlsession.heads.chosen import Score
from mlsession.heads.temperature import fit_temperature
from mlsession.session.phase import Array

BLOCK_ROWS = 4096
"""Rows that are widened to float64 at once."""


def score_of(strength: float, logits: Array, labels: Array, class_weights: Array) -> Score:
    """The score of float32 logits [n, K] for int64 labels [n]; `class_weights` float64 [K] say how classes count.

    What is judged is the head as it would be used: with the temperature that is best for these logits. The standard
    error of a weighted mean is that of the ratio of two sums (Cochran, "Sampling techniques", 3rd edition (1977),
    section 6.4).
    """
    temperature = fit_temperature(logits, labels)
    losses = log_losses(logits, labels, temperature)
    weights, count = class_weights[labels], len(labels)
    mean = float((weights * losses).sum() / weights.sum())
    error = float(np.sqrt(np.square(weights * (losses - mean)).sum()) / weights.sum())
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    return Score(
        strength=strength,
        temperature=temperature,
        log_loss=mean,
        log_loss_error=error,
        accuracy=accuracy,
        accuracy_error=float(np.sqrt(accuracy * (1 - accuracy) / count)),
    )


def log_losses(logits: Array, labels: Array, temperature: float = 1.0) -> Array:
    """float64 [n]: of each row, in nats."""
    losses = np.empty(len(labels), dtype=np.float64)
    for start in range(0, len(labels), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block = logits[rows].astype(np.float64) / temperature
        block -= block.max(axis=1, keepdims=True)
        truth = block[np.arange(len(block)), labels[rows]]
        losses[rows] = np.log(np.exp(block).sum(axis=1)) - truth
    return losses
