"""Features that another extraction has made: a donor session's, or this session's own from before its data changed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DIGEST_BYTES, DigestMap
from mlsession.errors import DamagedData, StoreError, UsageError
from mlsession.phases.features import halves, let_go, make_room
from mlsession.session.phase import Arrays

Features = npt.NDArray[np.float16]


class FeatureRows(Protocol):
    """Features by key (see `phases.cache.view_key`): what a featurizer asks before it computes any."""

    def contains(self, key: bytes) -> bool:
        """Whether there is a row of this key; from any thread."""
        ...

    def get(self, key: bytes) -> Features | None:
        """The row of a key, float16 [D], or None; from any thread."""
        ...

    def lookup(self, keys: Sequence[bytes]) -> tuple[npt.NDArray[np.bool_], Features]:
        """Which of n keys have rows, bool [n], and those rows in order, float16 [hits, D]; from any thread.

        Rows of another length than the first one's are not given.
        """
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
    """float16 [N, D]; see `phases.features.make_room`."""


def collect_rows(blocks: Iterator[Arrays], count: int, keys_of: Callable[[Arrays], list[bytes]]) -> DonatedRows:
    """The rows of an extraction's additive output, `count` at most, in memory or in a temporary file.

    `keys_of` gives the key of each row of a block, empty for one that is not to be used.
    """
    keys, rows = [np.zeros((0, DIGEST_BYTES), dtype=np.uint8)], [np.zeros(0, dtype=np.int64)]
    features, done = np.empty((0, 0), dtype=np.float16), 0
    for block in blocks:
        if done == 0:
            features = make_room(count, block["features"].shape[1])
        features[done : done + len(block["features"])] = halves(block["features"])
        found = keys_of(block)
        keys.append(np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, DIGEST_BYTES))
        rows.append(done + np.flatnonzero(np.fromiter(map(bool, found), dtype=np.bool_, count=len(found))))
        done += len(block["features"])
        let_go(features)
    return DonatedRows(places=DigestMap(np.concatenate(keys), np.concatenate(rows)), features=features)


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
            row = np.array(rows.features[place])
            let_go(rows.features)
            return row
        return None if self._cache is None else self._cache.get(key)

    def lookup(self, keys: Sequence[bytes]) -> tuple[npt.NDArray[np.bool_], Features]:
        donated = self._donated()
        places = [donated.places.get(key) for key in keys]
        rows = {key: donated.features[place] for key, place in zip(keys, places, strict=True) if place is not None}
        left = [key for key in keys if key not in rows]
        if self._cache is not None and left:
            hits, cached = self._cache.lookup(left)
            if len(rows) == 0 or cached.shape[1] == donated.features.shape[1]:
                rows |= dict(zip(itertools.compress(left, hits), cached, strict=True))
        found = [rows[key] for key in keys if key in rows]
        mask = np.array([key in rows for key in keys], dtype=np.bool_)
        stacked = np.stack(found) if found else np.empty((0, donated.features.shape[1]), dtype=np.float16)
        let_go(donated.features)
        return mask, stacked

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
                    self._rows = DonatedRows(places={}, features=np.empty((0, 0), dtype=np.float16))
                    self._on_failure(str(error))
            return self._rows
