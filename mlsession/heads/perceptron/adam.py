"""Adam with decoupled weight decay, one step at a time, on vectors that the caller keeps.

Sources: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1; Loshchilov and Hutter,
"Decoupled weight decay regularization" (2019).
"""

from __future__ import annotations

import torch

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
EPSILON = 1e-8


def adam_step(
    point: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    gradient: torch.Tensor,
    *,
    step: int,
    learning_rate: float,
    sizes: torch.Tensor | None = None,
) -> None:
    """Moves `point` [P] against `gradient` [P], and its moments `first` and `second` [P] along, all in place.

    `step` counts from 1, this one included: the moments began at 0, and their bias is corrected by it. `sizes` [P]
    multiply the learning rate of each element; without them all have the same.
    """
    first.mul_(FIRST_DECAY).add_(gradient, alpha=1 - FIRST_DECAY)
    second.mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
    spread = second.div(1 - SECOND_DECAY**step).sqrt_().add_(EPSILON)
    if sizes is not None:
        spread.div_(sizes)
    point.addcdiv_(first, spread, value=-learning_rate / (1 - FIRST_DECAY**step))


def kept_share(decays: torch.Tensor, learning_rate: float, weight_decay: float) -> torch.Tensor:
    """float32 [P]: what is left of each element after a step's decay; `decays` bool [P] says which ones decay."""
    return torch.where(decays, 1 - learning_rate * weight_decay, 1.0).to(torch.float32)
