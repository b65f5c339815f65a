"""The course of fine-tuning: which images are worked on in which turn. Pure; a number of turns is all its memory.

    for each epoch:
        for each step: the images of one optimiser step, in the order of (seed, epoch)
        for each check: some of the validation images, in index order

An epoch has each training image once. Its steps are as equal in size as can be, so none has a few left-over images
only, whose gradient would count as much as that of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.heads.perceptron.order import epoch_order

CHECKED = 32
"""Validation images of a turn."""
SMALLEST_BATCH, LARGEST_BATCH = 8, 64
STEPS = 24
"""Steps of an epoch by default, as far as `SMALLEST_BATCH` and `LARGEST_BATCH` allow."""


def batch_size_for(images: int) -> int:
    """Images of an optimiser step, for so many training images: the power of two nearest to a `STEPS`th, 8 to 64.

    With few images many small steps, since few large ones would get nowhere; no more than the images there are.
    """
    size = SMALLEST_BATCH
    # From one power of two to the next one at their geometric mean.
    while size < LARGEST_BATCH and images / STEPS > size * 2**0.5:
        size *= 2
    return min(size, images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn: a step, or a check."""

    epoch: int
    """From 0."""
    place: int
    """Of the step among the epoch's steps, or of the check among its checks; from 0."""
    is_step: bool
    ends_epoch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """All turns, in order."""

    epochs: int
    training: int
    """Training images, 1 or more."""
    validation: int
    batch_size: int
    """Images of a step, at most."""

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return -(-self.training // self.batch_size)

    @property
    def checks(self) -> int:
        """Turns of an epoch that look at validation images."""
        return -(-self.validation // CHECKED)

    @property
    def turns(self) -> int:
        """Of all epochs."""
        return self.epochs * (self.steps + self.checks)

    @property
    def images(self) -> int:
        """Images of all turns."""
        return self.epochs * (self.training + self.validation)

    def turn(self, number: int) -> Turn:
        """Turn `number`, 0 to `turns` - 1."""
        epoch, inner = divmod(number, self.steps + self.checks)
        is_step = inner < self.steps
        return Turn(
            epoch=epoch,
            place=inner if is_step else inner - self.steps,
            is_step=is_step,
            ends_epoch=inner == self.steps + self.checks - 1,
        )

    def images_before(self, number: int) -> int:
        """Images of the turns before turn `number`."""
        epoch, inner = divmod(number, self.steps + self.checks)
        done = epoch * (self.training + self.validation) + self._first(min(inner, self.steps))
        return done + min(max(inner - self.steps, 0) * CHECKED, self.validation)

    def trained(self, seed: int, turn: Turn) -> npt.NDArray[np.int64]:
        """int64 [n]: the places, among the training images, of those of a step, in order."""
        order = epoch_order(seed, turn.epoch, self.training)
        return order[self._first(turn.place) : self._first(turn.place + 1)]

    def checked(self, turn: Turn) -> npt.NDArray[np.int64]:
        """int64 [n]: the places, among the validation images, of those of a check."""
        first = turn.place * CHECKED
        return np.arange(first, min(first + CHECKED, self.validation), dtype=np.int64)

    def _first(self, step: int) -> int:
        """Images of an epoch's steps before `step`."""
        return self.training * step // self.steps


def share_of(count: int, rank: int, size: int) -> slice:
    """Of `count` images those that one of `size` devices works on: contiguous, in the order of their ranks."""
    return slice(count * rank // size, count * (rank + 1) // size)
