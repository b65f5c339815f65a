"""The order in which an epoch takes its rows: each once, as a pure function of (seed, epoch, number of rows).

Rows that follow each other often lie together on disk, and are of one class, or views of one image. So short chunks
of consecutive rows are shuffled, and then the rows inside windows of many chunks: up to `WINDOW` rows every order is
equally likely; beyond that a batch is drawn from chunks of all the rows, while a pass over features that lie in a file
still reads them chunk by chunk.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsession.randomness import keyed_generator

CHUNK = 16
"""Consecutive rows that stay in one window."""
WINDOW = 8_192
"""Rows that are mixed with each other; a multiple of `CHUNK`."""


def epoch_order(seed: int, epoch: int, rows: int) -> npt.NDArray[np.int64]:
    """int64 [rows]: the places from 0 to rows - 1, shuffled for an epoch."""
    generator = keyed_generator(seed, "order", epoch)
    firsts = generator.permutation(-(-rows // CHUNK)).astype(np.int64) * CHUNK
    places = (firsts[:, None] + np.arange(CHUNK, dtype=np.int64)).ravel()
    places = places[places < rows]
    for start in range(0, rows, WINDOW):
        generator.shuffle(places[start : start + WINDOW])
    return places
