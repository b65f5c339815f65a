"""The split after the data changed: what was decided stays decided, and only new contents are split; pure."""

from __future__ import annotations

import numpy as np

from mlsession.data.digests import DigestMap
from mlsession.data.split import split_rows
from mlsession.session.phase import Array


def split_with_past(labels: Array, digests: Array, ratio: float, seed: int, sides: DigestMap) -> Array:
    """Which rows to validate on: bool [N], as `split_rows` gives, but faithful to recorded `sides`.

    `sides` says of each content seen before (its SHA-256) whether it was held out (1) or not (0). Such rows keep their
    side under whatever label they have now; the others are split among themselves, by the same ratio and seed. So
    nothing that was trained on is ever validated on. A class that would have no row left to train on gets all of its
    rows back, copies of them under other labels too. Raises what `split_rows` raises.
    """
    if not len(sides):
        return split_rows(labels, digests, ratio, seed)
    known, held_out = sides.look_up(digests)
    chosen: Array = known & (held_out != 0)
    chosen[~known] = split_rows(labels[~known], digests[~known], ratio, seed)
    starved = np.isin(labels, np.setdiff1d(labels, labels[~chosen]))
    if starved.any():
        given_back, _ = DigestMap(digests[starved]).look_up(digests)
        chosen &= ~given_back
    return chosen
