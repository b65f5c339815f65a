"""The processes that advance a session together, one for each device, as one of them sees them.

Rank 0 drives the session: it alone reads and writes the log. The others follow it, phase by phase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mlsession.session.phase import Json

if TYPE_CHECKING:
    import torch


class World(Protocol):
    """Every rank calls the same methods in the same order; each raises `WorkerLost` where another rank is gone."""

    @property
    def rank(self) -> int:
        """This process among them, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many they are."""
        ...

    def agree(self, value: Json) -> Json:
        """What rank 0 gives, on every rank; what the others give is not looked at."""
        ...

    def sum(self, values: torch.Tensor) -> None:
        """Adds up [n] over the ranks, in place: the same bits on all of them, and again whenever `size` is the same."""
        ...


class Solo:
    """One process alone."""

    rank = 0
    size = 1

    def agree(self, value: Json) -> Json:
        return value

    def sum(self, values: torch.Tensor) -> None:
        """Nothing to add."""
