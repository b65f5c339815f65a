"""The split after the data changed: what was decided stays decided, and only new contents are split; pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlsession.data.split import split_rows
from mlsession.session.phase import Array


def split_with_past(labels: Array, digests: Array, ratio: float, seed: int, sides: Mapping[bytes, bool]) -> Array:
    """Which rows to validate on: bool [N], as `split_rows` gives, but faithful to recorded `sides`.

    `sides` says of each content seen before (its SHA-256) whether it was held out. Such rows keep their side under
    whatever label they have now; the others are split among themselves, by the same ratio and seed. So nothing that
    was trained on is ever validated on. A class that would have no row left to train on gets all of its rows back,
    copies of them under other labels too. Raises what `split_rows` raises.
    """
    if not sides:
        return split_rows(labels, digests, ratio, seed)
    contents = [digest.tobytes() for digest in digests]
    known = np.array([content in sides for content in contents], dtype=np.bool_)
    chosen = np.array([sides.get(content, False) for content in contents], dtype=np.bool_)
    chosen[~known] = split_rows(labels[~known], digests[~known], ratio, seed)
    starved = np.setdiff1d(labels, labels[~chosen])
    given_back = {contents[row] for row in np.flatnonzero(np.isin(labels, starved))}
    if given_back:
        chosen &= np.array([content not in given_back for content in contents], dtype=np.bool_)
    return chosen
