"""What a logger's run holds already, so that nothing is logged twice when iterations are done again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol


class Held(Protocol):
    """The figures of a run, as far as earlier attempts have logged them."""

    def has(self, name: str, step: int, value: float) -> bool:
        """Whether this very figure is there."""
        ...

    def add(self, name: str, step: int, value: float) -> None:
        """It is there from now on."""
        ...

    def rewind(self, phase: str, iteration: int) -> None:
        """The session goes on after this iteration of a phase: what is there of later ones counts no more."""
        ...


class HeldFigures:
    """Figures that were read back; loggers that only ever append keep what they have, so nothing is taken back.

    The same iteration gives the same figures again, so those that are there are not logged anew; where they differ, as
    on other hardware or with changed data, they are.
    """

    def __init__(self, figures: Mapping[tuple[str, int], float], tolerance: float = 0.0) -> None:
        """`figures` by name and step; `tolerance`: the relative error with which the logger keeps them."""
        self._figures = dict(figures)
        self._tolerance = tolerance

    def has(self, name: str, step: int, value: float) -> bool:
        found = self._figures.get((name, step))
        if found is None:
            return False
        return math.isclose(found, value, rel_tol=self._tolerance) or (math.isnan(found) and math.isnan(value))

    def add(self, name: str, step: int, value: float) -> None:
        self._figures[name, step] = value

    def rewind(self, phase: str, iteration: int) -> None:
        """Nothing that was appended can be taken back."""


def is_of_phase(name: str, phase: str) -> bool:
    """Whether a figure of this name is one of a phase: `training/loss`, with a logger's prefix `mine-training/loss`."""
    head, slash, _ = name.partition("/")
    return bool(slash) and (head == phase or head.endswith(f"-{phase}"))
