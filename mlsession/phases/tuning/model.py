"""The network and the head of fine-tuning, with the vectors that they are tuned by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from mlsession.extractors.trainable import depths
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.point import Point, laid_out, tuned_parameters
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.finetuning.schedule import average_decay
from mlsession.finetuning.tuner import Tuner, compiled, device_of, is_finite
from mlsession.heads.kinds import head_from_tensors
from mlsession.heads.protocol import Head
from mlsession.phases.tuning.state import AVERAGE, VECTORS, vector_of
from mlsession.session.phase import Array, PhaseState


class TuningModel:
    """Belongs to one thread, inside `tuning_numerics`."""

    def __init__(self, network: nn.Module, head: Head, options: FineTune, runtime: TuningRuntime, workers: int) -> None:
        """A network of `extractors.trainable`, which becomes part of it, and the head, as before the first step.

        `workers`: see `Tuner`. Raises `InvalidParameter` where it is to be compiled and there is no compiler.
        """
        device = device_of(runtime)
        self._network = network.to(device)
        self._module = head.module().to(device)
        self._head = head
        tuned = tuned_parameters(self._network, self._module, depths(self._network), options.unfreeze)
        self._names = {id(parameter): name for name, parameter in self._network.named_parameters()}
        self.point = Point([each for each, _ in tuned], laid_out(tuned, options.layer_decay), device)
        self._first, self._second = (torch.zeros_like(self.point.values) for _ in range(2))
        self._average = None if options.ema is None else self.point.values.clone()
        self._options = options
        run = compiled(self._network) if options.compile else self._network
        self.tuner = Tuner(run, self._module, runtime, workers=1 if options.compile else workers)

    def restore(self, state: PhaseState) -> None:
        """Goes on from what `vectors` gave. Raises `DamagedData`."""
        count = len(self.point.values)
        named = zip(VECTORS, (self.point.values, self._first, self._second), strict=True)
        for name, vector in [*named, *([] if self._average is None else [(AVERAGE, self._average)])]:
            vector.copy_(torch.tensor(vector_of(state, name, count)))

    def vectors(self) -> dict[str, Array]:
        """What must be remembered, in memory of its own."""
        named = dict(zip(VECTORS, (self.point.values, self._first, self._second), strict=True))
        if self._average is not None:
            named[AVERAGE] = self._average
        return {name: _owned(vector) for name, vector in named.items()}

    def update(self, updates: int, learning_rate: float) -> bool:
        """Moves the weights against the gradient, after `updates` updates; False for one that is not finite."""
        if not is_finite(self.point.gradient):
            return False
        self.point.step(
            self._first,
            self._second,
            update=updates + 1,
            learning_rate=learning_rate,
            weight_decay=self._options.weight_decay,
        )
        if self._average is not None and self._options.ema is not None:
            stays = average_decay(self._options.ema, updates)
            self._average.mul_(stays).add_(self.point.values, alpha=1 - stays)
        return True

    def on_device(self, values: Array) -> torch.Tensor:
        """A copy of float32 [n], where the weights are."""
        return torch.tensor(values, device=self.point.values.device)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """With the weights that are judged and kept: their average, where there is one."""
        if self._average is None:
            yield
            return
        newest = self.point.values.clone()
        self.point.values.copy_(self._average)
        try:
            yield
        finally:
            self.point.values.copy_(newest)

    def tensors(self) -> dict[str, Array]:
        """The network's tuned parameters by name, float32; to be called inside `judged`."""
        named = ((self._names.get(id(each)), each) for each in self.point.parameters)
        return {name: _owned(each.detach()) for name, each in named if name is not None}

    def head(self) -> Head:
        """The tuned head; to be called inside `judged`."""
        values = [_owned(parameter.detach()) for parameter in self._module.parameters()]
        # A head names its tensors in the order in which its module has them.
        return head_from_tensors(self._head.kind, dict(zip(self._head.tensors(), values, strict=True)))


def _owned(tensor: torch.Tensor) -> Array:
    return np.array(tensor.cpu().numpy(), order="C")
