"""Features that another extraction has made: a donor session's, or this session's own from before its data changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mlsession.errors import DamagedData, StoreError, UsageError
from mlsession.phases.features import make_room
from mlsession.session.phase import Arrays

Features = npt.NDArray[np.float32]


class FeatureRows(Protocol):
    """Features by key (see `phases.cache.view_key`): what a featurizer asks before it computes any."""

    def contains(self, key: bytes) -> bool:
        """Whether there is a row of this key; from any thread."""
        ...

    def get(self, key: bytes) -> Features | None:
        """The row of a key, float32 [D], or None; from any thread."""
        ...

    def add(self, key: bytes, row: Features) -> None:
        """Takes in a row that was computed."""
        ...

    def close(self) -> None:
        """Writes what is held and releases what is open; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DonatedRows:
    """The rows of an extraction."""

    places: Mapping[bytes, int]
    """By key."""
    features: Features
    """[N, D]."""


def collect_rows(blocks: Iterator[Arrays], count: int, keys_of: Callable[[Arrays], list[bytes]]) -> DonatedRows:
    """The rows of an extraction's additive output, `count` at most, in memory or in a temporary file.

    `keys_of` gives the key of each row of a block, empty for one that is not to be used.
    """
    places: dict[bytes, int] = {}
    features, done = np.empty((0, 0), dtype=np.float32), 0
    for block in blocks:
        if done == 0:
            features = make_room(count, block["features"].shape[1])
        features[done : done + len(block["features"])] = block["features"]
        places |= {key: done + offset for offset, key in enumerate(keys_of(block)) if key}
        done += len(block["features"])
    return DonatedRows(places=places, features=features)


class Donation:
    """A donor's rows before those of a cache, if there is one.

    The donor is read when the first row is asked for. One that cannot be read costs time, never a training: what it
    had is computed again.
    """

    def __init__(
        self, read: Callable[[], DonatedRows], on_failure: Callable[[str], None], cache: FeatureRows | None
    ) -> None:
        self._read = read
        self._on_failure = on_failure
        self._cache = cache
        self._lock = threading.Lock()
        self._rows: DonatedRows | None = None

    def contains(self, key: bytes) -> bool:
        return key in self._donated().places or (self._cache is not None and self._cache.contains(key))

    def get(self, key: bytes) -> Features | None:
        rows = self._donated()
        place = rows.places.get(key)
        if place is not None:
            return np.array(rows.features[place])
        return None if self._cache is None else self._cache.get(key)

    def add(self, key: bytes, row: Features) -> None:
        if self._cache is not None:
            self._cache.add(key, row)

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _donated(self) -> DonatedRows:
        with self._lock:
            if self._rows is None:
                try:
                    self._rows = self._read()
                except (DamagedData, StoreError, UsageError) as error:
                    self._rows = DonatedRows(places={}, features=np.empty((0, 0), dtype=np.float32))
                    self._on_failure(str(error))
            return self._rows
