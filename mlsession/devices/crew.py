"""What rank 0 and the ranks that follow it need of each other besides a `World`: messages between two of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from mlsession.devices.world import World


class Crew(World, Protocol):
    """A world whose ranks also speak in pairs; one thread of each rank does. All raise `WorkerLost`.

    Nothing here has a time-out: rank 0 may be busy alone for hours. It ends when a process does.
    """

    @property
    def local_size(self) -> int:
        """How many of the ranks share this machine's processors."""
        ...

    def send(self, data: bytes, to: int) -> None:
        """Hands a message to a rank, once that receives."""
        ...

    def receive(self, of: int) -> bytes:
        """Waits for the next message of a rank."""
        ...

    def apart(self) -> Crew:
        """The same ranks, for another thread of each to speak with the others'; every rank asks for it together."""
        ...

    def mesh(self, device: str) -> object:
        """What torch calls a `DeviceMesh` of these ranks, for devices of that kind."""
        ...

    def noticing(self) -> AbstractContextManager[None]:
        """While the block runs, torch itself waits for the other ranks: `WorkerLost` where one is gone."""
        ...
