"""Meeting the other ranks over a key-value store that may still hold what the ranks before us have left.

torchrun keeps one store for all its restarts. Whoever took the keys of the world before for those of this one would
look for processes that are gone; and how often workers were started, two launchers count differently. So the ranks of a
world find each other by names that each draws anew:

    rank 0 writes      world             = its name, the world's name
    rank r writes      WORLD/r           = its name, for whatever world it finds, again and again
    rank 0 writes      WORLD/met         = the names of all
    rank r has met the others once its name is among those
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from mlsession.errors import WorkerLost

_POLL_SECONDS = 0.02
_WORLD, _MET = "world", "met"


class Keys(Protocol):
    """What is needed of a store of torch.distributed."""

    def set(self, key: str, value: str) -> None:
        """Writes, or writes over."""
        ...

    def get(self, key: str) -> bytes:
        """The value of a key that is there."""
        ...

    def check(self, keys: list[str]) -> bool:
        """Whether all are there."""
        ...


def met(keys: Keys, rank: int, size: int, patience: timedelta, check: Callable[[], None] = lambda: None) -> str:
    """The name of the world, once all of its ranks are there: another one than of any world before.

    `check` is called while it waits, and what it raises ends that. Raises `WorkerLost` where not all have come within
    `patience`, and what the store raises.
    """
    name, until = secrets.token_hex(8), time.monotonic() + patience.total_seconds()
    if rank == 0:
        keys.set(_WORLD, name)
    world = name if rank == 0 else ""
    while True:
        if rank == 0:
            others = [f"{world}/{other}" for other in range(1, size)]
            if not others or keys.check(others):
                keys.set(f"{world}/{_MET}", json.dumps([name, *(keys.get(other).decode() for other in others)]))
                return world
        elif keys.check([_WORLD]):
            if (found := keys.get(_WORLD).decode()) != world:
                world = found
                keys.set(f"{world}/{rank}", name)
            if keys.check([f"{world}/{_MET}"]) and name in json.loads(keys.get(f"{world}/{_MET}")):
                return world
        check()
        if time.monotonic() > until:
            raise WorkerLost(f"rank {rank} has waited {patience.total_seconds():,.0f} s for the others in vain")
        time.sleep(_POLL_SECONDS)
