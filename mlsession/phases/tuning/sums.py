"""The gradient of an optimiser step, summed over the devices, in parts that fit into their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mlsession.devices.memory import is_out_of_memory
from mlsession.devices.world import World
from mlsession.errors import UsageError
from mlsession.events import MicroBatchHalved
from mlsession.finetuning.tuner import Part, free_memory
from mlsession.phases.tuning.model import TuningModel
from mlsession.phases.tuning.state import Progress
from mlsession.phases.tuning.work import TuningWork

CPU_PART = 8
"""Images of a part on the CPU: what larger ones gain in a network they lose in the caches, and in threads without work.

Measured with EfficientNet-Lite0: 95 ms of one core for an image, with 4 and with 8 of them in a part. It is also where
devices begin that share what is tuned: one that runs out of memory leaves the others waiting for it."""


class StepSums:
    """Of one attempt, on one device."""

    def __init__(self, model: TuningModel, work: TuningWork, world: World, batch_size: int, *, is_shared: bool) -> None:
        """`batch_size`: images of a step, at most; `is_shared`: whether the devices share what is tuned."""
        self._model = model
        self._runtime = work.runtime
        self._emit = work.emit
        self._world = world
        self._batch_size = batch_size
        self._is_shared = is_shared

    def first_part(self, accumulation: int | Literal["auto"]) -> int:
        """Images of a part to begin with: as many as asked for; else by rule, or all on a GPU with all weights."""
        largest = self._largest(self._batch_size)
        if accumulation != "auto":
            return -(-largest // accumulation)
        return min(largest, CPU_PART) if self._runtime.gpu is None or self._is_shared else largest

    def rounds(self, count: int, progress: Progress) -> int:
        """In how many parts the device with the largest share of `count` images takes them."""
        return -(-self._largest(count) // progress.micro_batch)

    def of_step(self, parts: Callable[[int], list[Part]], count: int, progress: Progress) -> tuple[float, int]:
        """The gradient of a step's `count` images, over all devices; the sum of their losses, and how many are right.

        Whoever runs out of memory says so where the gradients are added up, so that all do the step again alike, in
        smaller parts. Raises `UsageError` without memory for one image, or where devices share what is tuned.
        """
        point = self._model.point
        while True:
            point.summed.zero_()
            reason = ""
            try:
                made, rounds = parts(progress.micro_batch), self.rounds(count, progress)
                self._model.tuner.gradients(point, made, count, progress.scale.factor, rounds)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self._is_shared:
                    cure = "take more devices, or fewer images at a time (gradient_accumulation, in a new session)"
                    raise UsageError(f"finetuning: there is not enough memory ({error}); {cure}") from error
                reason = str(error)
            if reason:
                point.summed.zero_()
                point.tail[2] = 1
                free_memory(self._runtime)
            point.reduce(self._world)
            loss, right, failed = point.tail.tolist()
            if not failed:
                return loss, round(right)
            self._halve(progress, reason or "another device is out of memory")

    def _largest(self, count: int) -> int:
        """Of `count` images the largest share."""
        return -(-count // self._world.size)

    def _halve(self, progress: Progress, reason: str) -> None:
        before = progress.micro_batch
        if before == 1:
            cure = "tune fewer blocks (unfreeze), take a smaller network, or a machine with more of it"
            raise UsageError(f"finetuning: there is not enough memory for a single image ({reason}); {cure}")
        progress.micro_batch = before // 2
        self._emit(
            MicroBatchHalved(original=before, new=progress.micro_batch, batch_size=self._batch_size, reason=reason)
        )
