"""What the kinds of models of one's own have in common: one picture in, some tensors out, one of which is taken."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.input import InputOptions, PictureInput
from mlsession.extractors.running.runtime import BATCH_SIZE
from mlsession.randomness import keyed_generator

_ALIKE = 1e-3
"""A picture alone may give other numbers than among others by this share of the largest one: rounding."""

if TYPE_CHECKING:
    from torch import nn

Pictures: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A model with its input and output settled. Belongs to one thread at a time."""

    values: Callable[[Pictures], Floats]
    """The output as the model gives it, float32 [N, ...], of uint8 [N, side, side, 3] (RGB)."""
    network: Callable[[], nn.Module]
    """See `FeatureExtractor.network`. Raises nothing: one that is no graph says so when it is exported."""


class OwnModel(Protocol):
    """A model that is read; nothing of it has run yet."""

    @property
    def weights(self) -> str:
        """What it is called by digest; see `Contents.weights`."""
        ...

    @property
    def batch(self) -> int | None:
        """Pictures that it takes at once; None: any number."""
        ...

    def picture(self, options: InputOptions) -> PictureInput:
        """How it takes its picture, by the file and by `options`. Raises `InvalidParameter`."""
        ...

    def output(self, asked: str | None, given: PictureInput) -> str:
        """The output to take. Raises `InvalidParameter`."""
        ...

    def opened(self, output: str, given: PictureInput) -> Opened:
        """Ready to run. Raises `InvalidParameter` for what cannot be run."""
        ...


def chosen_output(
    asked: str | None,
    names: Sequence[str],
    shown: str,
    *,
    others: Sequence[str] = (),
    inner: Sequence[str] = (),
    what: str = "tensor",
) -> str:
    """The output that is asked for, or the only one.

    `names` are its outputs that can be taken, `others` those that cannot, `inner` values inside that can, in their
    order; `what` is what the format calls its outputs. Raises `InvalidParameter`, naming the outputs and the cure.
    """
    inner = [name for name in inner if name not in others]
    if asked is not None:
        if asked in names or asked in inner:
            return asked
        if asked in others:
            raise InvalidParameter("output_name", asked, f"{shown} gives no {what} there; {_cure(names, inner)}")
        near = difflib.get_close_matches(asked, [*names, *inner], n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidParameter(
            "output_name", asked, f"{shown} has no output of this name; {meant}{_cure(names, inner)}"
        )
    if len(names) == 1:
        return names[0]
    has = f"{len(names)} {what} outputs" if names else f"no {what} output"
    beside = f" (only {_listed(others)})" if others and not names else ""
    reason = f"{shown} has {has}{beside}; without a name there must be exactly one: {_cure(names, inner)}"
    raise InvalidParameter("output_name", None, reason)


def measured_dimension(values: Callable[[Pictures], Floats], side: int, output: str, shown: str, most: int) -> int:
    """D, from one batch of made-up pictures. Raises `InvalidParameter` where there is no vector for each picture."""
    pictures = keyed_generator(0, "custom extractor").integers(0, 256, (BATCH_SIZE, side, side, 3), np.uint8)
    found = values(pictures)
    if found.ndim < 2 or len(found) != BATCH_SIZE:
        reason = f"{shown} gives {list(found.shape)} there for {BATCH_SIZE} pictures; its first axis must count them"
        raise InvalidParameter("output_name", output, reason)
    dimension = math.prod(found.shape[1:])
    if not 1 <= dimension <= most:
        reason = (
            f"{shown} gives {list(found.shape[1:])} there, {dimension:,} numbers for a picture; from 1 to {most:,} "
            "can be trained on: name an output after its pooling"
        )
        raise InvalidParameter("output_name", output, reason)
    if not np.isfinite(found).all():
        reason = f"{shown} gives numbers there that are not finite; check mean, std and scale, or name another"
        raise InvalidParameter("output_name", output, reason)
    alone = np.zeros_like(pictures)
    alone[0] = pictures[0]
    # Batch statistics and dropout, as in a network that was exported while it trained.
    if not np.abs(values(alone)[0] - found[0]).max() <= _ALIKE * np.abs(found[0]).max():
        reason = f"{shown} gives a picture other numbers each time, or by its neighbours; export it in evaluation mode"
        raise InvalidParameter("output_name", output, reason)
    return dimension


def _cure(names: Sequence[str], inner: Sequence[str]) -> str:
    if names:
        return f"name one of {_listed(names)}" + (" or a value inside" if inner else "")
    return f"name a value inside, such as {_listed(inner[-4:])}" if inner else "export it with one"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more
