"""The images of an optimiser step as one device sees them: its share, in parts, with what is to be said of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.finetuning.targets import Mixing, blended, soft_labels
from mlsession.finetuning.tuner import Part
from mlsession.session.phase import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepImages:
    """A step, and what of it is one device's."""

    places: npt.NDArray[np.int64]
    """[n]: of all images of the step, among the training images."""
    mixing: Mixing
    mine: slice
    """This device's share of the n."""

    @property
    def needed(self) -> npt.NDArray[np.int64]:
        """The places whose pixels the device needs: its share, in order, and whatever else that is blended with."""
        own = self.places[self.mine]
        if self.mixing.share == 1:
            return own
        partners = self.places[self.mixing.partners[self.mine]]
        return np.concatenate([own, np.setdiff1d(partners, own)])


def parts_of(
    images: StepImages,
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    weights: Array,
    smoothing: float,
    size: int,
) -> list[Part]:
    """The device's share in parts of at most `size` images.

    `pixels` uint8 [m, side, side, 3] are those of `images.needed`; `labels` [N] of all training images; `weights`
    float64 [K] how much an image of each class counts.
    """
    own, share = images.places[images.mine], images.mixing.share
    partners = images.places[images.mixing.partners[images.mine]]
    found = {int(place): number for number, place in enumerate(images.needed)}
    parts: list[Part] = []
    for start in range(0, len(own), size):
        piece = slice(start, min(start + size, len(own)))  # Behind them are pixels of others.
        first, second = labels[own[piece]], labels[partners[piece]]
        targets = blended(_weighted(first, weights, smoothing), _weighted(second, weights, smoothing), share)
        shown: npt.NDArray[np.uint8] | npt.NDArray[np.float32] = pixels[piece]
        if share != 1:
            others = pixels[[found[int(place)] for place in partners[piece]]]
            shown = blended(pixels[piece].astype(np.float32), others.astype(np.float32), share)
        parts.append(Part(pixels=shown, targets=targets, labels=first if share >= 0.5 else second))
    return parts


def _weighted(labels: npt.NDArray[np.int64], weights: Array, smoothing: float) -> npt.NDArray[np.float32]:
    soft = soft_labels(labels, len(weights), smoothing)
    return soft * weights[labels, None].astype(np.float32)
