"""A world of processes on a process group of torch.distributed: gloo between CPUs, NCCL between GPUs.

Commands, messages and their lengths always travel through gloo, in memory of the host: a rank that waits for hours
burns no GPU, and no watchdog ends it. NCCL only sums what lies on GPUs.

A process that dies closes its connections, and whoever waits for it is told by the system at once. Whoever waits for
another one learns it from the launcher, which stops all ranks when one fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import DeviceMesh

from mlsession.devices.messages import decode_message, encode_message
from mlsession.devices.waiting import Waiter
from mlsession.errors import WorkerLost
from mlsession.session.phase import Json

T = TypeVar("T")
SHORT_BYTES = 1024
"""What one broadcast holds; a longer message takes a second one."""
_LENGTH = 8
_GLOO = "gloo"
"""In what it raises, which has no class of its own."""
FOR_EVER = timedelta(days=365)
"""Rank 0 may fit a head for hours while the others wait. A process that dies is noticed all the same."""
TO_CONNECT = timedelta(minutes=2)
"""For ranks that have met to connect to each other. Where one dies in the midst of it, torch has others wait for it."""


class Group:
    """The `Crew` of one rank. Its methods belong to one thread at a time."""

    def __init__(
        self,
        group: distributed.ProcessGroup,
        local_size: int = 1,
        heed: Callable[[], None] = lambda: None,
    ) -> None:
        """`heed` is called while this rank waits for another; what it raises ends the wait, and the world with it."""
        self._group = group
        self._local_size = local_size
        self._heed = heed
        self._lost: WorkerLost | None = None
        self._waiter = Waiter()

    @property
    def rank(self) -> int:
        return self._group.rank()

    @property
    def size(self) -> int:
        return self._group.size()

    @property
    def local_size(self) -> int:
        return self._local_size

    def agree(self, value: Json) -> Json:
        return self._waited(lambda: self._agree(value))

    def sum(self, values: torch.Tensor) -> None:
        """See `World.sum`. The sum of gloo goes round a ring: which rank adds what to what depends on `size` alone."""
        self._check()
        try:
            self._group.allreduce([values], distributed.AllreduceOptions()).wait()
            if values.is_cuda:
                torch.cuda.current_stream(values.device).synchronize()  # Otherwise a loss shows up anywhere later.
        except RuntimeError as error:
            raise self._losing(error) from error

    def apart(self) -> Group:
        """See `Crew.apart`; through gloo, and nobody is asked to stop in it.

        All come here first, as in its making torch waits for the others' addresses: of one that is gone, for ever.
        """
        self._waited(lambda: self._group.allreduce([torch.zeros(1)], distributed.AllreduceOptions()).wait())
        made = self._waited(lambda: distributed.new_group(backend="gloo", timeout=FOR_EVER), TO_CONNECT)
        assert isinstance(made, distributed.ProcessGroup)
        return Group(made, self._local_size)

    def mesh(self, device: str) -> DeviceMesh:
        return DeviceMesh.from_group(self._group, device)

    @contextmanager
    def noticing(self) -> Iterator[None]:
        self._check()
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, distributed.DistError) and _GLOO not in str(error):
                raise
            raise self._losing(error) from error

    def send(self, data: bytes, to: int) -> None:
        self._waited(lambda: self._send(data, to))

    def receive(self, of: int) -> bytes:
        return self._waited(lambda: self._receive(of))

    def _agree(self, value: Json) -> Json:
        leads = self.rank == 0
        data = encode_message({"value": value}) if leads else b""
        first = torch.zeros(SHORT_BYTES, dtype=torch.uint8)
        if leads:
            _fill(first, len(data).to_bytes(_LENGTH, "little") + data[: SHORT_BYTES - _LENGTH])
        self._broadcast(first)
        length = int.from_bytes(_bytes_of(first[:_LENGTH]), "little")
        rest = torch.zeros(max(length - (SHORT_BYTES - _LENGTH), 0), dtype=torch.uint8)
        if len(rest):
            if leads:
                _fill(rest, data[SHORT_BYTES - _LENGTH :])
            self._broadcast(rest)
        whole = _bytes_of(first[_LENGTH : _LENGTH + length]) + _bytes_of(rest)
        return decode_message(whole)[0]["value"]

    def _broadcast(self, tensor: torch.Tensor) -> None:
        options = distributed.BroadcastOptions()
        options.rootRank, options.rootTensor = 0, 0
        self._group.broadcast([tensor], options).wait()

    def _send(self, data: bytes, to: int) -> None:
        self._group.send([torch.tensor([len(data)], dtype=torch.int64)], to, 0).wait()
        if data:
            tensor = torch.empty(len(data), dtype=torch.uint8)
            _fill(tensor, data)
            self._group.send([tensor], to, 0).wait()

    def _receive(self, of: int) -> bytes:
        length = torch.zeros(1, dtype=torch.int64)
        self._group.recv([length], of, 0).wait()
        data = torch.zeros(int(length.item()), dtype=torch.uint8)
        if len(data):
            self._group.recv([data], of, 0).wait()
        return _bytes_of(data)

    def _waited(self, call: Callable[[], T], patience: timedelta = timedelta.max) -> T:
        """What a call gives that waits for other ranks. Raises `WorkerLost`, and what `heed` raises."""
        self._check()
        try:
            return self._waiter.wait(call, self._heed, patience)
        except RuntimeError as error:
            raise self._losing(error) from error
        except BaseException:
            # The others are left in the middle of it: nothing that is said after this would be understood.
            self._lost = self._lost or WorkerLost(f"{self._name} has left the others while it waited for them")
            raise

    def _check(self) -> None:
        if self._lost is not None:
            raise WorkerLost(str(self._lost))

    def _losing(self, error: RuntimeError) -> WorkerLost:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        self._lost = WorkerLost(
            f"another of the {self.size} processes that train together is gone, as {self._name} sees it ({first}); "
            "what is committed is kept, and the session can be resumed"
        )
        return self._lost

    @property
    def _name(self) -> str:
        return f"rank {self.rank}"


def _fill(tensor: torch.Tensor, data: bytes) -> None:
    if data:
        tensor[: len(data)].copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()
