"""The answers of a Core ML classifier on pictures, by whatever runs its graph: one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mlsession.coreml.interface import WHOLE, Images, check_images
from mlsession.errors import DamagedData

Probabilities: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
"""float32 [N, K]."""


def answers(
    labels: Sequence[str], side: int, images: Images, probabilities: Callable[[Images], Tensor]
) -> tuple[list[str], Probabilities]:
    """Of pictures, uint8 [N, side, side, 3] RGB: N labels, probabilities float32 [N, K].

    `probabilities` gives K of one picture, uint8 [side, side, 3]. Raises `InvalidParameter` for pictures of another
    shape, `DamagedData` where it gives another number of them.
    """
    check_images(images, side)
    rows = np.empty((len(images), len(labels)), np.float32)
    with torch.inference_mode():
        for row, image in zip(rows, images, strict=True):
            answer = probabilities(image).numpy().reshape(-1)
            if answer.shape != row.shape:
                raise DamagedData(WHOLE, f"it gives {answer.size} probabilities for {row.size} labels")
            row[:] = answer
    return [labels[column] for column in rows.argmax(axis=1)], rows
