"""The split after the data changed: what was decided stays decided, and only new contents are split; pure."""

from __future__ import annotations

import numpy as np

from mlsession.data.digests import DigestMap
from mlsession.data.split import split_rows
from mlsession.data.together import split_ties, ties_of
from mlsession.session.phase import Array


def split_with_past(
    labels: Array, digests: Array, ratio: float, seed: int, sides: DigestMap, groups: Array | None = None
) -> Array:
    """Which rows to validate on: bool [N], as `split_rows` gives, but faithful to recorded `sides`.

    `sides` says of each content seen before (its SHA-256) whether it was held out (1) or not (0). Such rows keep their
    side under whatever label they have now; the others are split among themselves, by the same ratio and seed. So
    nothing that was trained on is ever validated on. A class that would have no row left to train on gets all of its
    rows back, copies of them under other labels too.

    With `groups`, int64 [N], the same number for rows that belong together, it is `split_ties` that splits, and new
    rows go to the side of those that they belong with: of both sides, to training. The others are held out as far as
    the share of all rows is not held out yet. Raises what `split_rows` raises.
    """
    if groups is not None:
        return _split_groups(labels, digests, ties_of(groups, digests), ratio, seed, sides)
    if not len(sides):
        return split_rows(labels, digests, ratio, seed)
    known, held_out = sides.look_up(digests)
    chosen: Array = known & (held_out != 0)
    chosen[~known] = split_rows(labels[~known], digests[~known], ratio, seed)
    starved = _starved(labels, chosen)
    if starved.any():
        given_back, _ = DigestMap(digests[starved]).look_up(digests)
        chosen &= ~given_back
    return chosen


def _split_groups(labels: Array, digests: Array, ties: Array, ratio: float, seed: int, sides: DigestMap) -> Array:
    known, side = sides.look_up(digests)
    held_out: Array = known & (side != 0)
    with_trained, with_held_out = np.isin(ties, ties[known & ~held_out]), np.isin(ties, ties[held_out])
    held_out |= ~known & with_held_out & ~with_trained
    starved = _starved(labels, held_out)
    if starved.any():
        held_out &= ~np.isin(ties, ties[starved])
    return split_ties(labels, digests, ties, ratio, seed, (held_out, with_trained | with_held_out))


def _starved(labels: Array, chosen: Array) -> Array:
    """Which rows are of a class that has none left to train on: bool [N]."""
    return np.isin(labels, np.setdiff1d(labels, labels[~chosen]))
