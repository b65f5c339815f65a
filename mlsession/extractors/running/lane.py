"""A network on a device, and the memory through which pictures go to it and features come back.

    slot.pictures   host, uint8 [batch size, side, side, 3]; pinned, so that the device fetches them by itself
        -> a stream of copies -> on the device -> the network, on a stream of its own -> slot.features, pinned

Several slots: while the network works on one, the next is copied, and the one after that is filled. The batches of a
lane always have the same shape, and the network runs on one stream alone, as cuBLAS asks for the same bits each time
(https://docs.nvidia.com/cuda/cublas/#results-reproducibility).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlsession.devices.memory import is_out_of_memory
from mlsession.errors import InvalidParameter
from mlsession.extractors.numerics import gpu_numerics, torch_numerics
from mlsession.extractors.running.runtime import Runtime

SLOTS = 3
"""One that the device works on, one that is copied to it, one that is filled."""


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """One batch on its way."""

    pictures: npt.NDArray[np.uint8]
    """[batch size, side, side, 3], to be filled from the front."""
    features: npt.NDArray[np.float32]
    """[batch size, D], valid from `finish` until the slot is launched again."""
    entering: torch.Tensor
    """The memory of `pictures`."""
    working: torch.Tensor
    """Theirs on the device."""
    leaving: torch.Tensor
    """The memory of `features`."""
    done: torch.cuda.Event | None = field(default=None)
    """On CUDA: when `features` are there."""


class Lane:
    """The network of one extractor on the device of its runtime. Belongs to one thread at a time.

    A device "cpu" works as well, for tests: without streams, each launch is done when it returns.
    """

    def __init__(self, network: nn.Module, runtime: Runtime, side: int, dimension: int) -> None:
        """`network` is `frozen`, and left as it is; `side` is that of the pictures.

        Raises what `is_out_of_memory` knows where the device has no room for such batches.
        """
        if runtime.gpu is None:
            raise InvalidParameter("runtime", runtime, "is of the CPU, which needs no lane")
        self.batch_size = runtime.batch_size
        self._device = torch.device(runtime.gpu.place)
        self._is_cuda = self._device.type == "cuda"
        self._kind = torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32
        self._network = copy.deepcopy(network).to(device=self._device, dtype=self._kind)
        self._copying, self._working = self._streams()
        self.slots = tuple(self._slot(side, dimension) for _ in range(SLOTS))
        if self._is_cuda:  # The memory was filled on torch's own stream, for which ours do not wait.
            torch.cuda.synchronize(self._device)
        self.launch(self.slots[0], 0)
        self.finish(self.slots[0])

    def launch(self, slot: Slot, count: int) -> None:
        """Starts the work on the first `count` pictures of a slot; the rest of the batch is black."""
        if not self._is_cuda:
            self._enter(slot, count)
            self._work(slot)
            return
        if self._copying is None or self._working is None or slot.done is None:
            raise InvalidParameter("slot", slot, "is not of this lane")
        with torch.cuda.stream(self._copying):
            self._enter(slot, count)
            entered = self._copying.record_event()
        with torch.cuda.stream(self._working):
            self._working.wait_event(entered)
            self._work(slot)
            slot.done.record(self._working)

    def finish(self, slot: Slot) -> npt.NDArray[np.float32]:
        """Waits for a slot that was launched: its features, [batch size, D]."""
        if slot.done is not None:
            slot.done.synchronize()
        return slot.features

    def _enter(self, slot: Slot, count: int) -> None:
        slot.working[:count].copy_(slot.entering[:count], non_blocking=self._is_cuda)
        slot.working[count:].zero_()

    def _work(self, slot: Slot) -> None:
        """The channels stay last in memory, as the pictures have them and the convolutions want them."""
        with torch_numerics(1), gpu_numerics(), torch.inference_mode():
            pictures = slot.working.permute(0, 3, 1, 2).to(self._kind)
            slot.leaving.copy_(self._network(pictures), non_blocking=self._is_cuda)

    def _streams(self) -> tuple[torch.cuda.Stream | None, torch.cuda.Stream | None]:
        if not self._is_cuda:
            return None, None
        copying, working = (torch.cuda.Stream(self._device) for _ in range(2))  # type: ignore[no-untyped-call]
        return copying, working

    def _slot(self, side: int, dimension: int) -> Slot:
        shape = (self.batch_size, side, side, 3)
        entering = torch.zeros(shape, dtype=torch.uint8, pin_memory=self._is_cuda)
        leaving = torch.zeros((self.batch_size, dimension), dtype=torch.float32, pin_memory=self._is_cuda)
        return Slot(
            pictures=entering.numpy(),
            features=leaving.numpy(),
            entering=entering,
            working=torch.zeros(shape, dtype=torch.uint8, device=self._device),
            leaving=leaving,
            done=torch.cuda.Event() if self._is_cuda else None,  # type: ignore[no-untyped-call]
        )


def fitting_lane(network: nn.Module, runtime: Runtime, side: int, dimension: int) -> tuple[Lane, Runtime]:
    """A lane, and the runtime that it has: its batches are halved until the device has room for them.

    Raises `InvalidParameter` where it has none for a single picture.
    """
    while True:
        try:
            return Lane(network, runtime, side, dimension), runtime
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            smaller, failure = runtime.batch_size // 2, error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if smaller < 1:
            reason = "its memory has no room for the network and one picture; free some, or use accelerator='cpu'"
            raise InvalidParameter("accelerator", runtime.device, reason) from failure
        runtime = replace(runtime, batch_size=smaller)
