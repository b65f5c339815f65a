"""How the learning rate and the average of the weights go with the steps; pure."""

from __future__ import annotations

import math

from mlsession.finetuning.options import Schedule


def learning_rate_factor(step: int, steps: int, warmup: float, schedule: Schedule) -> float:
    """What the learning rate is multiplied by at `step`, 0 to `steps` - 1; above 0, at most 1.

    In the first `warmup` share of the steps it rises in equal parts and reaches 1 after them; then it falls as
    `schedule` says, so that it would be 0 in the step after the last. Source of the warm-up: Goyal et al., "Accurate,
    large minibatch SGD" (2017), section 2.2.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / (steps - rising)
    match schedule:
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return 1 - done
        case "constant":
            return 1.0


def average_decay(ema: float, updates: int) -> float:
    """What share of an average of the weights stays in update number `updates`, counted from 0.

    Less than `ema` in the beginning, since the average begins at weights that are soon far away. Source: `decay` of
    TensorFlow's ExponentialMovingAverage with `num_updates`, which timm's `ModelEma` follows.
    """
    return min(ema, (1 + updates) / (10 + updates))
