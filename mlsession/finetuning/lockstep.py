"""Ranks that exchange what they compute, one of which runs out of memory in the midst of it: all of them stop there.

    before each exchange    every rank says whether it has memory: one small sum over the ranks
    who has run out of it   says so once, in place of its next exchange, and raises what it met
    the others              hear it before their next exchange, and raise `OthersLackMemory` in place of that

So nobody begins an exchange that another will not come to, and afterwards all are at the same place: they can agree on
smaller parts, and do the step again. What FSDP2 holds by then is in the midst of a pass; it is to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed

from mlsession.devices.memory import is_out_of_memory
from mlsession.devices.world import World
from mlsession.errors import WorkerLost


class OthersLackMemory(RuntimeError):
    """Another rank is out of memory, and has stopped in the midst of what all do together."""

    def __init__(self) -> None:
        super().__init__("another device is out of memory")


class Lockstep:
    """Of one rank; all of them go through it together. Belongs to one thread at a time."""

    def __init__(self, world: World) -> None:
        self._world = world

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The block is done on all ranks, or on none: raises what torch does without memory, or `OthersLackMemory`."""
        try:
            yield
        except OthersLackMemory:
            raise
        except RuntimeError as error:
            if is_out_of_memory(error):
                self._sum(1.0)
            raise
        self.check()

    def check(self) -> None:
        """Raises `OthersLackMemory` where another rank has none."""
        if self._sum(0.0):
            raise OthersLackMemory

    def exchange(self, call: Callable[[], Any]) -> Any:
        """What an exchange gives, once all ranks have come to it. Raises `WorkerLost` without memory in it."""
        self.check()
        try:
            return call()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            # The others are in the midst of it, and hear of it only by the end of this process.
            reason = f"rank {self._world.rank} has no memory for what the devices exchange ({error})"
            raise WorkerLost(f"{reason}; what is committed is kept, and the session can be resumed") from error

    def _sum(self, value: float) -> float:
        said = torch.tensor([value])
        self._world.sum(said)
        return float(said[0])


class _Exchange:
    """What FSDP2 asks of its own; see `torch.distributed.fsdp._fully_shard._fsdp_api.Comm`."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """As FSDP2's own does it."""
        return torch.empty(*size, dtype=dtype, device=device)


class Gathering(_Exchange):
    """For `FSDPModule.set_custom_all_gather`."""

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: distributed.ProcessGroup,
        async_op: bool = False,
    ) -> Any:
        def gather() -> Any:
            return distributed.all_gather_into_tensor(output_tensor, input_tensor, group, async_op)

        return self._lockstep.exchange(gather)


class Scattering(_Exchange):
    """For `FSDPModule.set_custom_reduce_scatter`."""

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: distributed.ProcessGroup,
        op: Any,
        async_op: bool = False,
    ) -> Any:
        def scatter() -> Any:
            return distributed.reduce_scatter_tensor(output_tensor, input_tensor, op, group, async_op)

        return self._lockstep.exchange(scatter)
