"""The arithmetic of fine-tuning: gradients of a step's images, answers to some images, on the CPU or a GPU.

A device cuts its share of a step into parts (micro-batches) of one size. On the CPU several threads of ours work on one
part each, and torch has one thread for each: its own threads would wait for each other at every layer by spinning, and
what they round depends on their number. The parts' gradients are added up in the order of the parts; so the number of
threads changes the speed alone, and the size of the parts the last bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlsession.errors import InvalidParameter
from mlsession.extractors.numerics import THREADS, gpu_numerics, torch_numerics
from mlsession.finetuning.point import Point
from mlsession.finetuning.runtime import TuningPrecision, TuningRuntime
from mlsession.heads.blocks import worked

Pixels = npt.NDArray[np.float32] | npt.NDArray[np.uint8]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AUTOCAST: Mapping[TuningPrecision, torch.dtype] = MappingProxyType(
    {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
)


_WARNINGS, _ERRORS = 1, 2
"""What becomes of operations that have no repeatable form."""
_COMPILER = "torch._inductor.config"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Images of a micro-batch."""

    pixels: Pixels
    """[n, side, side, 3] in 0..255: uint8, or float32 of blended images."""
    targets: npt.NDArray[np.float32]
    """[n, K]: what the network is to say, each class weighted."""
    labels: npt.NDArray[np.int64]
    """[n]: what counts as right."""


class Tuner:
    """A network and a head on a device; belongs to one thread, inside `tuning_numerics`."""

    def __init__(self, network: nn.Module, head: nn.Module, runtime: TuningRuntime, *, workers: int = 1) -> None:
        """`workers`: threads on the CPU; they change the speed alone."""
        self.network = network
        self.head = head
        self._runtime = runtime
        self._device = device_of(runtime)
        self._workers = workers if runtime.gpu is None else 1

    def gradients(self, point: Point, parts: Sequence[Part], images: int, factor: float, rounds: int = 0) -> None:
        """Adds to `point.summed` this device's share of a step of `images` images: `parts`, in order.

        `rounds`: how many parts the device with the most of them has, for those that take them in step.

        The gradient of the mean over the step of sum(-targets * log softmax(logits)), times `factor`; and of these
        images the sum of that, without `factor`, and how many are right. Raises what torch raises without memory.
        """

        def work(part: Part) -> tuple[tuple[torch.Tensor, ...], float, int]:
            with self._autocast():
                logits = self.head(self.network(self._moved(part.pixels)))
            targets = torch.from_numpy(part.targets).to(self._device)
            loss = -(targets * torch.log_softmax(logits.float(), dim=1)).sum()
            # Zeros for parameters that the forward pass leaves out, as those of heads that a library's network keeps.
            gradients = torch.autograd.grad(loss * (factor / images), point.parameters, materialize_grads=True)
            labels = torch.from_numpy(part.labels).to(self._device)
            return gradients, float(loss.detach()), int((logits.detach().argmax(dim=1) == labels).sum())

        for gradients, loss, right in self._worked(parts, work):
            point.add(gradients, (loss, right, 0.0))

    def logits(self, pixels: Pixels, size: int, rounds: int = 0) -> npt.NDArray[np.float32]:
        """float32 [n, K] of [n, side, side, 3], at most `size` images at a time; the networks are in eval mode.

        `rounds`: as many times does the device with the most images run them.
        """

        def work(part: Pixels) -> npt.NDArray[np.float32]:
            with torch.inference_mode(), self._autocast():
                logits: npt.NDArray[np.float32] = self.head(self.network(self._moved(part))).float().cpu().numpy()
                return logits

        self.network.eval()
        try:
            cut = [pixels[start : start + size] for start in range(0, len(pixels), size)]
            return np.concatenate(list(self._worked(cut, work)))
        finally:
            self.network.train()

    def _worked(self, items: Sequence[_Item], work: Callable[[_Item], _Result]) -> Iterator[_Result]:
        if self._workers == 1 or len(items) == 1:
            return map(work, items)
        return worked(items, work, self._workers)

    def _moved(self, pixels: Pixels) -> torch.Tensor:
        """float32 [n, 3, side, side] on the device; the channels stay last in memory, as convolutions want them."""
        moved = torch.from_numpy(pixels).to(self._device)
        return moved.permute(0, 3, 1, 2).float()

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        kind = _AUTOCAST.get(self._runtime.precision)
        return nullcontext() if kind is None else torch.autocast(self._device.type, kind)


def device_of(runtime: TuningRuntime) -> torch.device:
    """As torch names it."""
    return torch.device("cpu" if runtime.gpu is None else runtime.gpu.place)


def compiled(network: nn.Module) -> nn.Module:
    """The network made faster by torch's compiler. Raises `InvalidParameter` where it has none to use."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        reason = "torch finds no compiler here; install one (such as g++), or leave it out"
        raise InvalidParameter("compile", True, reason) from error
    _set_determinism(torch.get_deterministic_debug_mode())  # Now the compiler hears of it.
    made: nn.Module = torch.compile(network, dynamic=False)  # type: ignore[assignment]  # A module of a module.
    return made


def free_memory(runtime: TuningRuntime) -> None:
    """Gives back what torch holds of a GPU's memory and does not use."""
    if runtime.device == "cuda":
        torch.cuda.empty_cache()
    elif runtime.device == "mps":
        torch.mps.empty_cache()


@contextmanager
def tuning_numerics(runtime: TuningRuntime) -> Iterator[None]:
    """Runs the block with operations of torch that give the same bits again, then puts back what was set.

    On a GPU an operation that has no such form is let through: there runs agree closely, and not to the bit.
    """
    before = torch.get_deterministic_debug_mode()
    # A module whose attributes are known when it runs only.
    switches: Any = torch.utils.deterministic
    filling = switches.fill_uninitialized_memory
    _set_determinism(_ERRORS if runtime.gpu is None else _WARNINGS)
    switches.fill_uninitialized_memory = False  # Takes time, and nothing here reads such memory.
    try:
        with torch_numerics(THREADS), nullcontext() if runtime.gpu is None else gpu_numerics():
            yield
    finally:
        switches.fill_uninitialized_memory = filling
        _set_determinism(before)


def _set_determinism(level: int) -> None:
    """As torch's `get_deterministic_debug_mode` has it. Its usual switch loads its compiler, which takes seconds."""
    torch.set_deterministic_debug_mode(level)
    if _COMPILER in sys.modules:
        torch.use_deterministic_algorithms(level > 0, warn_only=level == _WARNINGS)
