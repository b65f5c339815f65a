"""The seams of heads: what a fit asks of the rows, what training asks of a fit, what everybody asks of a trained head.

    fit = begin_fit(rows, classes, options, seed)      # or restore_fit(state, options, seed); see `heads.fitting`
    while not fit.converged and fit.iteration < limit:
        fit = fit.advance(rows)
    head = fit.head()

A fit is a value: `advance` gives another one, and leaves the old one as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mlsession.session.phase import Array, Arrays, PhaseState

if TYPE_CHECKING:
    from torch import nn


class TrainingRows(Protocol):
    """The rows that a head is fitted to, in index order; places count through them, from 0."""

    def __len__(self) -> int:
        """N."""
        ...

    def __call__(self) -> Iterator[Arrays]:
        """One pass: {"features": float16 or float32 [n, D], "labels": int64 [n]} with any n at a time."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """[N]."""
        ...

    @property
    def contents(self) -> npt.NDArray[np.int64]:
        """[N]: a number that follows from what is in the image's file: views and copies of one image have the same."""
        ...

    @property
    def is_grouped(self) -> bool:
        """Whether images that belong together have the same of `contents`, and not views and copies alone."""
        ...

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        """[N]: rows of images as they are; the others are further views of them."""
        ...

    def take(self, places: npt.NDArray[np.int64]) -> Arrays:
        """The rows at `places` int64 [n], in that order, each of 0 to N - 1, in memory for n rows."""
        ...


class Head(Protocol):
    """A trained head: D features in, K classes out; a value that holds numpy arrays."""

    @property
    def kind(self) -> str:
        """As it is recorded, and as `heads.kinds` reads it back; the `kind` of the options that it was fitted with."""
        ...

    @property
    def num_classes(self) -> int:
        """K."""
        ...

    @property
    def num_features(self) -> int:
        """D."""
        ...

    def logits(self, features: Array) -> Array:
        """float32 [n, K] of float32 [n, D]; may round differently for another n. Raises `InvalidParameter`."""
        ...

    def probabilities(self, features: Array) -> Array:
        """float64 [n, K] of float32 [n, D]: the softmax of `logits`, each row sums to 1. Raises `InvalidParameter`."""
        ...

    def tempered(self, temperature: float) -> Head:
        """The head whose logits are these, divided by `temperature`, see `heads.temperature`; of the same kind.

        The last layer's weights and biases are divided in float64, then rounded: every export carries the temperature
        without knowing of it, and the best class stays the best, but where rounding makes a tie of two or parts one.
        Raises `InvalidParameter` unless the temperature is a finite number above 0.
        """
        ...

    def tensors(self) -> dict[str, Array]:
        """What to save, by name; float32."""
        ...

    def module(self) -> nn.Module:
        """The same for torch, [n, D] -> logits [n, K]: layers that can be traced, without gradients, own memory."""
        ...


class Fit(Protocol):
    """A head on its way, after some iterations; what an iteration is its kind says."""

    @property
    def iteration(self) -> int:
        """Iterations done."""
        ...

    @property
    def converged(self) -> bool:
        """Whether the fit has ended by itself: more iterations would change nothing, or too little."""
        ...

    @property
    def losses(self) -> Array:
        """float64 [iteration]: on the training rows, after each iteration; in nats."""
        ...

    @property
    def accuracies(self) -> Array:
        """float64 [iteration]: the share of training rows classified correctly after each iteration."""
        ...

    def advance(self, rows: TrainingRows) -> Fit:
        """The fit after one more iteration over the rows that it began with; itself once it has converged."""
        ...

    def head(self) -> Head:
        """The head that it gives by now; usable before the first iteration, too."""
        ...

    def to_phase_state(self) -> PhaseState:
        """All that it must remember, in memory of its own; `iteration` and `converged` are among its plain values."""
        ...
