"""What the network is to say of the images of a step: labels, smoothed and blended. Pure; numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.randomness import keyed_generator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixing:
    """How the images of a step are blended: image i becomes `share` of itself and the rest of image `partners[i]`."""

    share: float
    """0 to 1; 1 blends nothing."""
    partners: npt.NDArray[np.int64]
    """[n]: places within the step."""


def mixing(alpha: float, seed: int, epoch: int, step: int, count: int) -> Mixing:
    """The mixing of a step of `count` images: a function of (seed, epoch, step), however many devices share it.

    Source: Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018): one share for the step, drawn from
    Beta(alpha, alpha), and a random pairing. With alpha 0 nothing is drawn.
    """
    if alpha == 0:
        return Mixing(share=1.0, partners=np.arange(count, dtype=np.int64))
    generator = keyed_generator(seed, "mixup", epoch, step)
    share = float(generator.beta(alpha, alpha))
    return Mixing(share=share, partners=generator.permutation(count).astype(np.int64))


def soft_labels(labels: npt.NDArray[np.int64], classes: int, smoothing: float) -> npt.NDArray[np.float32]:
    """float32 [n, K]: 1 - `smoothing` at the label, and `smoothing` spread evenly over all K classes."""
    soft = np.full((len(labels), classes), smoothing / classes, dtype=np.float32)
    soft[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
    return soft


def blended(own: npt.NDArray[np.float32], other: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    """`share` of `own` and the rest of `other`, each float32 [n, ...]."""
    if share == 1:
        return own
    return np.float32(share) * own + np.float32(1 - share) * other
