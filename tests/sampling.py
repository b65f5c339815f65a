"""Which cases of long matrices a run takes: `make test` a share of them, another one every day; `make test-all` all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mlsession.randomness import keyed_generator

SEED = "MLSESSION_SAMPLE_SEED"
"""The environment variable with the seed of the drawing; where it is not set, the day is the seed."""


def sample_seed() -> int:
    """The seed of this run, and of the processes that it starts."""
    return int(os.environ.setdefault(SEED, str(datetime.now(UTC).date().toordinal())))


def left_out(cases: Mapping[str, Sequence[str]], shares: Mapping[str, float], seed: int) -> set[str]:
    """Of the cases of each file those that are not drawn; at least one of each file is."""
    found: set[str] = set()
    for file, names in cases.items():
        count = max(round(len(names) * shares[file]), 1)
        order = keyed_generator(seed, "sampled tests", file).permutation(len(names))
        found |= {names[place] for place in order[count:]}
    return found
