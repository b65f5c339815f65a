"""What logistic regression minimises, and its gradient in closed form, summed over blocks of rows.

    sum of class_weight * cross-entropy / sum of class_weight + l2 / 2 * ||weights||^2

over the rows; on weights [K, D] and biases [K] (which are not penalised) of features as they are, of which the solver
sees multiples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from mlsession.heads.blocks import Block, Rows, worked_blocks

BLOCK_ROWS = 1024
"""With 1,280 features 5 MB: between its two products a block stays in the processor's cache."""
SCORES = 2**22
"""Scores of a block, at most: rows times classes. Up to 4,096 classes a block has `BLOCK_ROWS` rows."""
FEWEST_ROWS = 64

Result = TypeVar("Result")


class Passes(Protocol):
    """Passes over the rows of a fit, in fixed blocks, in order."""

    def __call__(self, work: Callable[[Block], Result]) -> Iterator[Result]:
        """One pass: what `work` gives for each block."""
        ...


@dataclass(frozen=True, slots=True)
class Streamed:
    """`Passes` over rows that are read anew each time; see `worked_blocks`."""

    rows: Rows
    block_rows: int = BLOCK_ROWS

    def __call__(self, work: Callable[[Block], Result]) -> Iterator[Result]:
        return worked_blocks(self.rows, work, block_rows=self.block_rows)


def block_rows_for(classes: int) -> int:
    """How many rows a block has where each has a score for so many classes: so much memory is what a thread takes.

    With 1,000 classes that is 8 MB of float64, and as much again for what is computed from them.
    """
    return min(BLOCK_ROWS, max(FEWEST_ROWS, SCORES // classes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The objective at one point."""

    loss: float
    gradient: torch.Tensor
    """float64 [K * D + K]."""
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The function that the solver minimises, of float64 points [K * D + K]: weights row by row, then biases."""

    passes: Passes
    classes: int
    mean: torch.Tensor | None
    """float64 [D], float32 values; None where the blocks are centred already."""
    scale: torch.Tensor
    """float64 [D], float32 values."""
    l2: float
    class_weights: torch.Tensor | None = None
    """float64 [K]; None: each row counts alike."""

    def __call__(self, point: torch.Tensor) -> Evaluation:
        """One pass over the rows: the loss, and its gradient.

        Features are centred, and not scaled: the weights are, which is cheaper and loses nothing. To fold the mean
        into the biases as well would cancel digits where a feature varies little about a large mean.
        """
        weights, bias = split_point(point, self.classes)
        weights32, bias32 = (weights / self.scale).to(torch.float32), bias.to(torch.float32)
        mean32 = None if self.mean is None else self.mean.to(torch.float32)
        loss, correct, count, total = 0.0, 0, 0, 0.0
        weight_sum, bias_sum = torch.zeros_like(weights), torch.zeros_like(bias)
        for share in self.passes(lambda block: _share(block, mean32, weights32, bias32, self.class_weights)):
            loss, correct, count = loss + share.loss, correct + share.correct, count + share.count
            total += share.total
            weight_sum += share.weights
            bias_sum += share.bias
        penalty = self.l2 * weights / self.scale.square()
        gradient = torch.cat([(weight_sum / (total * self.scale) + penalty).flatten(), bias_sum / total])
        return Evaluation(
            loss=loss / total + 0.5 * float((penalty * weights).sum()), gradient=gradient, accuracy=correct / count
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What one block adds to the sums of a pass."""

    loss: float
    correct: int
    count: int
    total: float
    """The weights of the rows."""
    weights: torch.Tensor
    """float32 [K, D]."""
    bias: torch.Tensor
    """float64 [K]."""


def _share(
    block: Block,
    mean: torch.Tensor | None,
    weights: torch.Tensor,
    bias: torch.Tensor,
    class_weights: torch.Tensor | None,
) -> _Share:
    """What a block adds."""
    labels, features = block.labels, block.features if mean is None else block.features.sub_(mean)
    truth = labels[None]
    # A row for each class: of all products of few classes with many rows this is the fastest.
    scores = torch.mm(weights, features.T).to(torch.float64)
    scores += bias[:, None]
    highest = scores.max(dim=0, keepdim=True)
    scores.sub_(highest.values)
    losses = -scores.gather(0, truth)
    shares = scores.exp_()
    sums = shares.sum(dim=0, keepdim=True)
    losses += sums.log()
    # The gradient with respect to a row's logits is its probabilities, less 1 at the true class.
    residual = shares.div_(sums)
    residual.scatter_add_(0, truth, torch.full(truth.shape, -1.0, dtype=torch.float64))
    total = float(len(labels))
    if class_weights is not None:
        of_rows = class_weights[labels]
        losses *= of_rows
        residual *= of_rows
        total = float(of_rows.sum())
    return _Share(
        loss=float(losses.sum()),
        correct=int((highest.indices == truth).sum()),
        count=len(labels),
        total=total,
        weights=residual.to(torch.float32) @ features,
        bias=residual.sum(dim=1),
    )


def split_point(point: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of a point's weights [K, D] and biases [K]."""
    weights, bias = point[:-classes], point[-classes:]
    return weights.view(classes, -1), bias
