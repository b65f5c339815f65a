"""A network and a head whose parameters are shared among the devices of a world, so that none has all of them.

    each parameter          a part of its rows on each device, see `layout`
    a block, when it runs   its parameters are gathered, used, and let go, forwards and backwards
    gradients               summed over the devices; each gets those of its own part
    what steps need         moments, average, sizes: of the own part alone

Torch's FSDP2 does it, `torch.distributed.fsdp.fully_shard`. Sources: Rajbhandari et al., "ZeRO: memory optimizations
toward training trillion parameter models" (SC 2020), stage 3; Zhao et al., "PyTorch FSDP" (VLDB 2023).

All ranks gather together, so each runs the network as often as the others: who has fewer images adds a black one that
counts for nothing. Where one of them runs out of memory all stop, see `lockstep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlsession.devices.crew import Crew
from mlsession.devices.world import World
from mlsession.errors import InvalidParameter
from mlsession.finetuning.layout import rows_of
from mlsession.finetuning.lockstep import Gathering, Lockstep, Scattering
from mlsession.finetuning.point import Point, Stretch, laid_out, sizes_of
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.finetuning.tuner import Part, Pixels, Tuner, device_of

_NEEDED = (
    *("set_gradient_divide_factor", "set_force_sum_reduction_for_comms"),
    *("set_custom_all_gather", "set_custom_reduce_scatter"),
)
"""Of FSDP2: without the first two it gives the mean over the devices, which is rounded once more."""
_CURE = "use 'ddp', or leave it out"


class ShardedPoint(Point):
    """A device's part of the vector, and the parts of the parameters that are stepped with it."""

    def __init__(
        self, shared: Sequence[nn.Parameter], sizes: torch.Tensor, stretches: Sequence[Stretch], device: torch.device
    ) -> None:
        """`shared` are the parameters as FSDP2 has them; `sizes` [P'] of this device's parts, see `Point.sizes`."""
        super().__init__([nn.Parameter(_local(each).clone()) for each in shared], stretches, device, sizes)
        self._shared = tuple(shared)
        self._is_finite = True

    @property
    def is_finite(self) -> bool:
        return self._is_finite

    def publish(self) -> None:
        with torch.no_grad():
            for shared, values in zip(self._shared, self.parameters, strict=True):
                _local(shared).copy_(values)

    def reduce(self, world: World) -> None:
        """Adds up what is counted alone: the gradients were added up where they came to be."""
        self.tail[2] = float(not bool(torch.isfinite(self.gradient).all()))
        world.sum(self.tail)
        self._is_finite = not float(self.tail[2])
        self.tail[2] = 0.0


class ShardedTuner(Tuner):
    """See `Tuner`; one thread alone, since gathering takes turns."""

    def __init__(
        self,
        whole: nn.Sequential,
        shared: Sequence[nn.Parameter],
        blank: Part,
        runtime: TuningRuntime,
        crew: Crew,
        lockstep: Lockstep,
    ) -> None:
        """`whole`: network and head, shared by FSDP2; `shared` are the parameters that are tuned, as that has them.

        `lockstep` is that of its exchanges.
        """
        super().__init__(whole[0], whole[1], runtime)
        self._whole: Any = whole
        self._shared = tuple(shared)
        self._blank = blank
        self._crew = crew
        self._lockstep = lockstep

    def gradients(self, point: Point, parts: Sequence[Part], images: int, factor: float, rounds: int = 0) -> None:
        """See `Tuner.gradients`; the gradients are those of all devices together, of this one's part.

        Without memory on any of them each raises, this one what torch raises or `OthersLackMemory`, and the network is
        good for nothing any more.
        """
        with self._crew.noticing(), self._lockstep.whole():
            counted = np.zeros(3)
            for part in (*parts, *[self._blank] * (rounds - len(parts))):
                with self._autocast():
                    logits = self._whole(self._moved(part.pixels))
                targets = torch.from_numpy(part.targets).to(self._device)
                loss = -(targets * torch.log_softmax(logits.float(), dim=1)).sum()
                torch.autograd.backward(loss * (factor / images))
                labels = torch.from_numpy(part.labels).to(self._device)
                counted += (float(loss.detach()), int((logits.detach().argmax(dim=1) == labels).sum()), 0.0)
            # What the forward pass leaves out has none.
            found = [
                torch.zeros_like(_local(each)) if each.grad is None else _local(each.grad) for each in self._shared
            ]
            point.add(found, counted.tolist())
            for parameter in self._shared:
                parameter.grad = None

    def logits(self, pixels: Pixels, size: int, rounds: int = 0) -> npt.NDArray[np.float32]:
        """See `Tuner.logits`, and `gradients` on what happens without memory."""
        cut = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        found: list[npt.NDArray[np.float32]] = []
        self._whole.eval()
        # Not in inference mode: what is gathered there could not be used to train again.
        with self._crew.noticing(), self._lockstep.whole(), torch.no_grad(), self._autocast():
            for part in (*cut, *[self._blank.pixels] * (rounds - len(cut))):
                found.append(self._whole(self._moved(part)).float().cpu().numpy())
        self._whole.reshard()
        self._whole.train()
        return np.concatenate(found)[: len(pixels)]


def shared_out(
    network: nn.Module,
    head: nn.Module,
    blocks: Sequence[nn.Module],
    tuned: Sequence[tuple[nn.Parameter, int]],
    layer_decay: float,
    blank: Part,
    runtime: TuningRuntime,
    crew: Crew,
) -> tuple[ShardedPoint, ShardedTuner]:
    """Shares network and head, which are on the CPU, among the ranks of a world, block by block.

    `tuned` see `tuned_parameters`; `blank` see `blank_part`. Raises `InvalidParameter` for what FSDP2 cannot share.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not all(hasattr(FSDPModule, name) for name in _NEEDED):
        reason = f"needs a newer torch than {torch.__version__}; update it, {_CURE}"
        raise InvalidParameter("strategy", "fsdp", reason)
    whole = nn.Sequential(network, head)
    names = {id(parameter): name for name, parameter in whole.named_parameters()}
    wanted = [names[id(parameter)] for parameter, _ in tuned]
    sizes = [_rows(sizes_of(each.detach()).reshape(each.shape), crew) for each, _ in tuned]
    own = [(nn.Parameter(_rows(each.detach(), crew)), distance) for each, distance in tuned]
    device = device_of(runtime)
    mesh: Any = crew.mesh(device.type)
    lockstep = Lockstep(crew)
    try:
        for parameter in whole.parameters():
            parameter.data = parameter.data.contiguous()  # It takes no others.
        for module in (*blocks, whole):
            shared: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True)
            shared.set_gradient_divide_factor(1.0)
            shared.set_force_sum_reduction_for_comms(True)
            shared.set_custom_all_gather(Gathering(lockstep))
            shared.set_custom_reduce_scatter(Scattering(lockstep))
    except (NotImplementedError, ValueError) as error:
        raise InvalidParameter("strategy", "fsdp", f"this network cannot be shared so ({error}); {_CURE}") from error
    by_name = dict(whole.named_parameters())
    parameters = [by_name[name] for name in wanted]
    flat = torch.cat([size.reshape(-1) for size in sizes]).to(device)
    point = ShardedPoint(parameters, flat, laid_out(own, layer_decay), device)
    return point, ShardedTuner(whole, parameters, blank, runtime, crew, lockstep)


def _rows(values: torch.Tensor, crew: Crew) -> torch.Tensor:
    """A rank's part of a parameter, in memory of its own."""
    return values[rows_of(len(values), crew.rank, crew.size)].clone() if values.ndim else values


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """What of a shared tensor is here."""
    shared: Any = tensor
    local: torch.Tensor = shared.to_local()
    return local.detach()


def blank_part(side: int, classes: int) -> Part:
    """A black image of which nothing is asked: its gradient is 0."""
    return Part(
        pixels=np.zeros((1, side, side, 3), dtype=np.uint8),
        targets=np.zeros((1, classes), dtype=np.float32),
        labels=np.full(1, -1, dtype=np.int64),
    )
