"""What a turn computes, summed over the devices, in parts that fit into their memory.

Where one device has no memory for a part, all of them go on with parts half as large, and do the turn again: the same
images, the same sums but for their last bits, since the parts are added up in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from mlsession.devices.crew import Crew
from mlsession.devices.memory import is_out_of_memory
from mlsession.devices.world import Solo
from mlsession.errors import UsageError
from mlsession.events import MicroBatchHalved
from mlsession.finetuning.course import share_of
from mlsession.finetuning.tuner import Part, Pixels, free_memory
from mlsession.phases.tuning.model import TuningModel
from mlsession.phases.tuning.state import Progress
from mlsession.phases.tuning.together import done_together
from mlsession.phases.tuning.work import TuningWork
from mlsession.session.phase import Array

CPU_PART = 8
"""Images of a part on the CPU: what larger ones gain in a network they lose in the caches, and in threads without work.

Measured with EfficientNet-Lite0: 95 ms of one core for an image, with 4 and with 8 of them in a part. It is also where
devices begin that share what is tuned: there a part that is too large costs the making of a new network."""
_CURE = "tune fewer blocks (unfreeze), take a smaller network, or a machine with more of it"
_ELSEWHERE = "another device is out of memory"


class StepSums:
    """Of one attempt, on one device."""

    def __init__(
        self, model: TuningModel, work: TuningWork, crew: Crew | None, batch_size: int, *, is_shared: bool
    ) -> None:
        """`batch_size`: images of a step, at most; `is_shared`: whether the devices share what is tuned."""
        self._model = model
        self._runtime = work.runtime
        self._emit = work.emit
        self._crew = crew
        self._world = Solo() if crew is None else crew
        self._batch_size = batch_size
        self._is_shared = is_shared

    def first_part(self, accumulation: int | Literal["auto"]) -> int:
        """Images of a part to begin with: as many as asked for; else by rule, or all on a GPU with all weights."""
        largest = self._largest(self._batch_size)
        if accumulation != "auto":
            return -(-largest // accumulation)
        return min(largest, CPU_PART) if self._runtime.gpu is None or self._is_shared else largest

    def of_step(self, parts: Callable[[int], list[Part]], count: int, progress: Progress) -> tuple[float, int]:
        """The gradient of a step's `count` images, over all devices; the sum of their losses, and how many are right.

        Raises `UsageError` without memory for one image.
        """

        def add_up() -> None:
            made, rounds = parts(progress.micro_batch), self._rounds(count, progress)
            self._model.tuner.gradients(self._model.point, made, count, progress.scale.factor, rounds)

        while True:
            self._model.point.summed.zero_()
            lacking = _lacking(add_up)
            if lacking and self._is_shared:
                self._back_off(progress, lacking)  # The others have heard of it, or said it.
                continue
            point = self._model.point
            if lacking:
                point.summed.zero_()
                point.tail[2] = 1
                free_memory(self._runtime)
            point.reduce(self._world)
            loss, right, failed = point.tail.tolist()
            if not failed:
                return loss, round(right)
            self._back_off(progress, lacking or _ELSEWHERE)

    def of_check(self, pixels: Pixels, count: int, classes: int, progress: Progress) -> Array:
        """float32 [count, classes]: the logits of validation images, `pixels` those of this device's share of them.

        Raises `UsageError` without memory for one image.
        """
        mine = share_of(count, self._world.rank, self._world.size)
        while True:
            found = np.zeros((count, classes), dtype=np.float32)  # Each has zeros for the rows of the others.

            def look(found: Array = found) -> None:
                rounds = self._rounds(count, progress)
                found[mine] = self._model.tuner.logits(pixels, progress.micro_batch, rounds)

            lacking = _lacking(look) if len(pixels) or self._is_shared else ""
            if not (lacking and self._is_shared):
                if lacking:
                    free_memory(self._runtime)
                summed = self._summed(np.append(found.ravel(), np.float32(bool(lacking))))
                if not summed[-1]:
                    return summed[:-1].reshape(found.shape)
            self._back_off(progress, lacking or _ELSEWHERE)

    def _summed(self, values: Array) -> Array:
        if self._world.size == 1:
            return values
        on_device = self._model.on_device(values)
        self._world.sum(on_device)
        return on_device.cpu().numpy()

    def _rounds(self, count: int, progress: Progress) -> int:
        """In how many parts the device with the largest share of `count` images takes them."""
        return -(-self._largest(count) // progress.micro_batch)

    def _largest(self, count: int) -> int:
        """Of `count` images the largest share."""
        return -(-count // self._world.size)

    def _back_off(self, progress: Progress, reason: str) -> None:
        before = progress.micro_batch
        if before == 1:
            raise UsageError(f"finetuning: there is not enough memory for a single image ({reason}); {_CURE}")
        progress.micro_batch = before // 2
        if self._crew is not None and self._is_shared:
            done_together(self._crew, self._build_again)
        self._emit(
            MicroBatchHalved(original=before, new=progress.micro_batch, batch_size=self._batch_size, reason=reason)
        )

    def _build_again(self) -> None:
        lacking = _lacking(self._model.make_again)
        if lacking:
            raise UsageError(f"finetuning: there is not enough memory to build the network anew ({lacking}); {_CURE}")


def _lacking(work: Callable[[], None]) -> str:
    """Why there is no memory for it; "" where it is done. Once it returns, nothing of it is held any more."""
    try:
        work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return str(error)
    return ""
