"""The network and the head of fine-tuning, with the vectors that they are tuned by.

A device has all of them, or, where several share them (strategy "fsdp"), its part of each, see `finetuning.sharded`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from mlsession.devices.crew import Crew
from mlsession.errors import InvalidParameter
from mlsession.extractors.trainable import blocks, depths
from mlsession.finetuning.layout import count_of, pieces_of, to_places
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.point import Point, laid_out, tuned_parameters
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.finetuning.schedule import average_decay
from mlsession.finetuning.sharded import blank_part, shared_out
from mlsession.finetuning.tuner import Tuner, compiled, device_of, free_memory
from mlsession.heads.kinds import head_from_tensors
from mlsession.heads.protocol import Head
from mlsession.phases.tuning.state import AVERAGE, PLACES, VECTORS, part_of_vectors
from mlsession.session.phase import Array, PhaseState

Tuned: TypeAlias = tuple[dict[str, Array], Head]
"""The network's tuned parameters by name, float32, and the tuned head."""


class TuningModel:
    """Belongs to one thread, inside `tuning_numerics`."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        head: Head,
        options: FineTune,
        runtime: TuningRuntime,
        workers: int,
        crew: Crew | None = None,
    ) -> None:
        """`build` makes a network of `extractors.trainable`, as before the first step, and the head is of then, too.

        `workers`: see `Tuner`; `crew`: the ranks that share the vectors, if they do, each of which makes one. Raises
        `InvalidParameter` where it is to be compiled and there is no compiler, and for what cannot be shared.
        """
        if crew is not None and options.compile:
            reason = "does not go with compile=True, which the session was made with; use 'ddp', or leave it out"
            raise InvalidParameter("strategy", "fsdp", reason)
        self._build = build
        self._head = head
        self._options = options
        self._runtime = runtime
        self._crew = crew
        self._names: list[str | None]
        self._shapes: list[tuple[int, ...]]
        self.point, self.tuner = self._made(workers)
        self._first, self._second = (torch.zeros_like(self.point.values) for _ in range(2))
        self._average = None if options.ema is None else self.point.values.clone()

    def _made(self, workers: int) -> tuple[Point, Tuner]:
        """A network and a head, on the device, as before the first step."""
        network, module, options, runtime = self._build(), self._head.module(), self._options, self._runtime
        tuned = tuned_parameters(network, module, depths(network), options.unfreeze)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        self._names = [names.get(id(parameter)) for parameter, _ in tuned]
        self._shapes = [tuple(parameter.shape) for parameter, _ in tuned]
        if self._crew is not None:
            blank = blank_part(options.feature_extractor.input_side, self._head.num_classes)
            found = blocks(network)
            return shared_out(network, module, found, tuned, options.layer_decay, blank, runtime, self._crew)
        device = device_of(runtime)
        network, module = network.to(device), module.to(device)
        point = Point([each for each, _ in tuned], laid_out(tuned, options.layer_decay), device)
        run = compiled(network) if options.compile else network
        return point, Tuner(run, module, runtime, workers=1 if options.compile else workers)

    def make_again(self) -> None:
        """A new network with the present weights, where ranks share one that an error has left in the midst of a pass.

        What it holds of a device's memory goes first. All ranks do it.
        """
        values = self.point.values
        del self.point, self.tuner
        gc.collect()  # FSDP2's modules and their hooks refer to each other.
        free_memory(self._runtime)
        self.point, self.tuner = self._made(workers=1)
        self.point.values.copy_(values)
        self.point.publish()

    @property
    def _named(self) -> dict[str, torch.Tensor]:
        """What is remembered, float32 [P] each, or as much of it as is here."""
        named = dict(zip(VECTORS, (self.point.values, self._first, self._second), strict=True))
        return named if self._average is None else {**named, AVERAGE: self._average}

    @property
    def _pieces(self) -> tuple[slice, ...]:
        """Which elements of them are here."""
        return self._pieces_of(0, 1) if self._crew is None else self._pieces_of(self._crew.rank, self._crew.size)

    def _pieces_of(self, rank: int, size: int) -> tuple[slice, ...]:
        return pieces_of(self._shapes, rank, size)

    def restore(self, state: PhaseState) -> None:
        """Goes on from what `vectors` gave, however many ranks did that. Raises `DamagedData`."""
        rank, count = 0 if self._crew is None else self._crew.rank, count_of(self._pieces_of(0, 1))
        found = part_of_vectors(state, [*self._named], count, self._pieces, rank)
        for name, vector in self._named.items():
            vector.copy_(torch.from_numpy(found[name]))
        self.point.publish()

    def vectors(self) -> dict[str, Array]:
        """What must be remembered, in memory of its own: all of it, or this rank's shard."""
        owned = {name: _owned(vector) for name, vector in self._named.items()}
        return owned if self._crew is None else {**owned, PLACES: to_places(self._pieces)}

    def update(self, updates: int, learning_rate: float) -> bool:
        """Moves the weights against the gradient, after `updates` updates; False for one that is not finite."""
        if not self.point.is_finite:
            return False
        self.point.step(
            self._first,
            self._second,
            update=updates + 1,
            learning_rate=learning_rate,
            weight_decay=self._options.weight_decay,
        )
        self.point.publish()
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
        self.point.publish()
        yield  # After an error nobody goes on with these weights, and there may be none.
        self.point.values.copy_(newest)
        self.point.publish()

    def tuned(self) -> Tuned | None:
        """What is kept; to be called inside `judged`, by every rank of those that share it. None on all but rank 0."""
        whole = self._gathered()
        if whole is None:
            return None
        cut = [whole[piece].reshape(shape) for piece, shape in zip(self._pieces_of(0, 1), self._shapes, strict=True)]
        named = {name: array for name, array in zip(self._names, cut, strict=True) if name is not None}
        # A head names its tensors in the order in which its module has them.
        rest = [array for name, array in zip(self._names, cut, strict=True) if name is None]
        return named, head_from_tensors(self._head.kind, dict(zip(self._head.tensors(), rest, strict=True)))

    def _gathered(self) -> Array | None:
        """float32 [P], on the host of rank 0: the values, from one rank after the other."""
        own, crew = _owned(self.point.values), self._crew
        if crew is None:
            return own
        if crew.rank:
            crew.send(own.astype("<f4").tobytes(), to=0)
            return None
        whole = np.empty(count_of(self._pieces_of(0, 1)), dtype=np.float32)
        for rank in range(crew.size):
            part = own if rank == 0 else np.frombuffer(crew.receive(rank), dtype="<f4")
            _lay_out(part, self._pieces_of(rank, crew.size), whole)
        return whole


def _lay_out(part: Array, pieces: Sequence[slice], whole: Array) -> None:
    start = 0
    for piece in pieces:
        stop = start + piece.stop - piece.start
        whole[piece] = part[start:stop]
        start = stop


def _owned(tensor: torch.Tensor) -> Array:
    return np.array(tensor.cpu().numpy(), order="C")
