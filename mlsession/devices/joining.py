"""Joining the processes that a launcher started into one world."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from mlsession.devices.crew import Crew
from mlsession.devices.meeting import met
from mlsession.devices.placement import Placement
from mlsession.devices.waiting import Waiter
from mlsession.errors import WorkerLost

_TO_COME = timedelta(minutes=30)
"""For the processes of the other machines to be started."""


@contextmanager
def joined(
    placement: Placement, heed: Callable[[], None] = lambda: None, check: Callable[[], None] = lambda: None
) -> Iterator[Crew]:
    """The world of a process, once all of its processes have come. Imports torch.

    `heed`: see `Group`; `check` is called until they have come, and what it raises ends that.

    Of ranks on GPUs each must see its own alone (`visible_device`) before torch looks for them. Raises `WorkerLost`
    where it cannot be joined.
    """
    import torch
    import torch.distributed as distributed
    from torch.distributed.rendezvous import rendezvous

    from mlsession.devices.group import FOR_EVER, TO_CONNECT, Group

    address, port, rank, size = placement.address, placement.port, placement.rank, placement.size
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, str(port)
    waiter = Waiter()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That nobody named a device to it: each process has one.
            store = waiter.wait(lambda: next(rendezvous("env://", rank, size, timeout=_TO_COME))[0], check)
            # A connection of its own: torch keeps the other one for itself. It breaks when rank 0 goes, of which torch
            # may see nothing: a rank that another one was to call waits for that call.
            pulse = waiter.wait(lambda: distributed.TCPStore(address, port, timeout=TO_CONNECT), check)  # type: ignore[attr-defined]
            ours = distributed.PrefixStore(met(store, rank, size, _TO_COME, check), store)  # type: ignore[attr-defined]

            def connect() -> None:
                distributed.init_process_group(backend, store=ours, rank=rank, world_size=size, timeout=FOR_EVER)

            def look() -> None:
                check()
                pulse.check([""])

            waiter.wait(connect, look, TO_CONNECT)
    except (RuntimeError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorkerLost(f"rank {rank} could not join the others at {address}:{port} ({first})") from error
    world = distributed.group.WORLD
    assert world is not None
    yield Group(world, placement.local_size, heed)
    # Not where something went wrong: a message may be under way for ever, and the process is about to end.
    distributed.destroy_process_group()
