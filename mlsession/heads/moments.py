"""Mean and variance of the features of the training rows, and what a solver divides them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from mlsession.errors import UnusableData
from mlsession.heads.blocks import Block, Rows, worked_blocks

CONSTANT = 1e-6
"""A feature that varies by less than this share of its mean is taken as constant: float32 shows no more."""

CACHED_ROWS = 64
"""Rows that are widened at once: they stay in the cache, and a pass takes a fifth of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Of the training rows; float64."""

    rows: int
    mean: torch.Tensor
    """[D]."""
    variance: torch.Tensor
    """[D]: of the population."""
    class_counts: tuple[int, ...]
    """K: the rows of each class."""

    def scale(self, floor: float) -> torch.Tensor:
        """float64 [D]: the square root of each feature's variance plus `floor`; 1 for a constant feature."""
        scale = (self.variance + floor).sqrt()
        return torch.where(scale > CONSTANT * self.mean.abs(), scale, torch.ones_like(scale))


def measure(rows: Rows, classes: Sequence[str]) -> Moments:
    """Mean and variance of every feature, in one pass; `classes` names label 0, 1, ...

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983): moments of blocks, merged
    in order. Raises `UnusableData` when there is a class without rows, or a feature that is infinite or not a number.
    """
    count, mean, squares = 0, torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    class_counts = torch.zeros(len(classes), dtype=torch.int64)
    for amount, block_mean, block_squares, of_classes in worked_blocks(rows, partial(_moments, classes=len(classes))):
        class_counts += of_classes
        if count == 0:
            count, mean, squares = amount, block_mean, block_squares
            continue
        total, shift = count + amount, block_mean - mean
        squares = squares + block_squares + shift.square() * (count * amount / total)
        mean = mean + shift * (amount / total)
        count = total
    counts = tuple(class_counts.tolist())
    empty = [name for name, amount in zip(classes, counts, strict=True) if amount == 0]
    if empty:
        raise UnusableData(f"class {empty[0]!r}", "no image of it is left to train on; add readable images of it")
    variance = squares / count
    if not bool(torch.isfinite(variance).all()):
        raise UnusableData("features", "some are infinite or not a number; choose another feature extractor")
    return Moments(rows=count, mean=mean, variance=variance, class_counts=counts)


def _moments(block: Block, classes: int) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of one block: rows, mean [D], sum of squared distances to that [D], rows of each class."""
    amount = len(block.labels)
    parts = torch.split(block.features, CACHED_ROWS)
    mean = torch.stack([part.to(torch.float64).sum(dim=0) for part in parts]).sum(dim=0) / amount
    squares = torch.stack([_squares(part, mean) for part in parts]).sum(dim=0)
    return amount, mean, squares, torch.bincount(block.labels, minlength=classes)


def _squares(part: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """float64 [D]: the sum over the rows of squared distances to `mean`."""
    return part.to(torch.float64).sub_(mean).square_().sum(dim=0)


def rounded(vector: torch.Tensor) -> torch.Tensor:
    """float64 with float32 values, so that a solver in float32 and a head in float64 subtract the same."""
    return vector.to(torch.float32).to(torch.float64)
