"""All parameters that are tuned as one vector, their gradients as another: what is summed, stepped and stored.

The network's parameters are views into the first. So a step is a few operations on vectors in a fixed order, whatever
the network; several devices add up one vector in the order of the parameters; and a checkpoint is a few arrays. Names
play no part: the vector is laid out as the network lists its parameters, then the head, each in the order of its
logical indices.

A step of Adam moves every weight about as far as the learning rate says, however small it is. The kernels of a network
with its normalisation folded in differ a thousandfold, from channel to channel too, so the rate is a share of what the
weights of a channel were at the start: Adafactor's relative step (Shazeer and Stern, "Adafactor: adaptive learning
rates with sublinear memory cost", ICML 2018, section 8), with a size for each channel, and one that stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from mlsession.devices.world import World
from mlsession.heads.perceptron.adam import adam_step

LEAST_SIZE = 1e-3
"""Adafactor's: weights that are smaller, such as those that begin at 0, move as if they had this size."""
LEAST_SHARE = 1e-3
"""A channel of smaller weights, which is as good as cut off, moves as if they were this share of the whole kernel's."""
TAIL = 3
"""What is added up with the gradients: loss, images that are right, and devices that ran out of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Elements of the vector that follow each other and are stepped alike."""

    place: slice
    scale: float
    """Their learning rate is this times that of the head."""
    decays: bool
    """Whether they lose a share in each step."""


class Point:
    """The vector, and the parameters that live in it."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        stretches: Sequence[Stretch],
        device: torch.device,
        sizes: torch.Tensor | None = None,
    ) -> None:
        """Moves the parameters' values into a vector on `device`; `stretches` cover it, see `laid_out`.

        `sizes` [P] on `device` where they are not those of these parameters, of which there may be parts only.
        """
        count = sum(parameter.numel() for parameter in parameters)
        self.values = torch.empty(count, dtype=torch.float32, device=device)
        """float32 [P]."""
        if sizes is None:
            sizes = torch.cat([sizes_of(parameter.detach()).to(device) for parameter in parameters])
        self.sizes = sizes
        """float32 [P]: how large the weights are now, which steps are relative to."""
        self.summed = torch.zeros(count + TAIL, dtype=torch.float32, device=device)
        """float32 [P + `TAIL`]: the gradients, and what is counted beside them."""
        self.stretches = tuple(stretches)
        start = 0
        for parameter in parameters:
            place = slice(start, start + parameter.numel())
            with torch.no_grad():
                self.values[place] = parameter.detach().reshape(-1).to(device)
            parameter.data = self.values[place].view(parameter.shape)
            start = place.stop
        self.parameters = tuple(parameters)

    @property
    def gradient(self) -> torch.Tensor:
        """float32 [P]: a view."""
        return self.summed[:-TAIL]

    @property
    def tail(self) -> torch.Tensor:
        """float32 [`TAIL`]: a view."""
        return self.summed[-TAIL:]

    def add(self, gradients: Sequence[torch.Tensor], counted: Sequence[float]) -> None:
        """Adds gradients, one for each parameter, and what is counted beside them, to what is summed."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.gradient.add_(flat)
        self.tail.add_(torch.tensor(counted, dtype=torch.float32, device=self.tail.device))

    def reduce(self, world: World) -> None:
        """Adds up over the devices what is summed."""
        world.sum(self.summed)

    @property
    def is_finite(self) -> bool:
        """Whether all of the gradient is, on every device."""
        return math.isfinite(float(self.gradient.abs().max())) if len(self.gradient) else True

    def publish(self) -> None:
        """After the values have changed: makes the network's parameters these. Here they are views of them."""

    def step(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        *,
        update: int,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """One step of AdamW against the gradient, in place; `first` and `second` [P] are its moments, moved along.

        Each element moves by about `learning_rate` times its size and its stretch's scale. `update` counts from 1, this
        one included. Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR 2019), algorithm 2,
        with the decay multiplied by the learning rate, as torch has it.
        """
        for stretch in self.stretches:
            rate, place = learning_rate * stretch.scale, stretch.place
            if stretch.decays and weight_decay:
                self.values[place].mul_(1 - rate * weight_decay)
            adam_step(
                self.values[place],
                first[place],
                second[place],
                self.gradient[place],
                step=update,
                learning_rate=rate,
                sizes=self.sizes[place],
            )


def sizes_of(parameter: torch.Tensor) -> torch.Tensor:
    """float32 [elements]: for each the root mean square of its channel (its row along the first dimension).

    Of a vector, of all of it.
    """
    whole = parameter.float().square().mean().sqrt().clamp(min=LEAST_SIZE)
    if parameter.ndim < 2:
        return whole.expand(parameter.numel())
    rows = parameter.float().flatten(1)
    channels = rows.square().mean(dim=1).sqrt().clamp(min=float(whole) * LEAST_SHARE)
    return channels.repeat_interleave(rows.shape[1])


def tuned_parameters(
    network: nn.Module, head: nn.Module, depths: Mapping[str, int], unfreeze: int | Literal["all"]
) -> list[tuple[nn.Parameter, int]]:
    """Those that are tuned, in order, each with its distance from the head, which has 0; all others are frozen.

    `depths` are those of `extractors.trainable.depths`.
    """
    deepest = max(depths.values(), default=0)
    most = deepest + 1 if unfreeze == "all" else unfreeze
    tuned: list[tuple[nn.Parameter, int]] = []
    for name, parameter in network.named_parameters():
        distance = deepest + 1 - depths[name]
        parameter.requires_grad_(distance <= most)
        if distance <= most:
            tuned.append((parameter, distance))
    for parameter in head.parameters():
        parameter.requires_grad_(True)
        tuned.append((parameter, 0))
    return tuned


def laid_out(tuned: Sequence[tuple[nn.Parameter, int]], layer_decay: float) -> tuple[Stretch, ...]:
    """The stretches of a vector of these parameters, in order, as long as can be.

    Vectors (biases, scales of normalisations) do not decay, as in timm: what they do is not more complex for being
    large.
    """
    stretches: list[Stretch] = []
    start = 0
    for parameter, distance in tuned:
        place = slice(start, start + parameter.numel())
        found = Stretch(place=place, scale=layer_decay**distance, decays=parameter.ndim > 1)
        last = stretches[-1] if stretches else None
        if last is not None and (last.scale, last.decays) == (found.scale, found.decays):
            joined = slice(last.place.start, place.stop)
            stretches[-1] = Stretch(place=joined, scale=found.scale, decays=found.decays)
        else:
            stretches.append(found)
        start = place.stop
    return tuple(stretches)
