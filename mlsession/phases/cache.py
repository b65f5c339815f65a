"""Features shared between sessions, by content: no view of an image is extracted twice, whatever it is called.

A pack is an immutable safetensors file of up to `PACK_ROWS` rows, named by its own SHA-256, under a folder that stands
for everything that gives a feature its bits: extractor identity and numerics id. Rows are copied into a session, so
deleting the cache harms no session. A cache that fails costs time, never a training.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_arrays

from mlsession.augment.views import ViewPlan
from mlsession.errors import DamagedData, KeyExists, StoreError
from mlsession.session.log.blobs import decode_arrays
from mlsession.session.log.canonical import canonical_json, sha256
from mlsession.session.log.members import as_count
from mlsession.session.phase import Json
from mlsession.store.protocol import Store

PACK_ROWS = 4_096
_MOST_BYTES = 2**30
"""A pack is smaller: of more than 60,000 features a row there would be no cache."""
_HEADER_BYTES = 4_096
"""More than the header of a pack takes."""

T = TypeVar("T")
Features = npt.NDArray[np.float32]


def cache_folder(identity: str, numerics: Mapping[str, Json]) -> str:
    """The folder of features that are equal to the bit."""
    return f"features/{sha256(canonical_json([identity, dict(numerics)]))[:32]}"


def view_key(views: ViewPlan, augmenter: str, digest: bytes, view: int) -> bytes:
    """What the features of a view go by, 32 bytes: of an image itself, view 0, the SHA-256 of its bytes.

    Of another view the SHA-256 of what is done, with what (`augmenter_identity`), to which content: so sessions share
    it whose options differ in other things.
    """
    if view == 0:
        return digest
    named = canonical_json([digest.hex(), augmenter, views.effect(digest, view).to_json()])
    return hashlib.sha256(named).digest()


class FeatureCache:
    """Rows of features by `view_key`. `contains` may be called from any thread."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        folder: str,
        on_failure: Callable[[str], None],
        pack_rows: int = PACK_ROWS,
    ) -> None:
        self._open_store = open_store
        self._folder = folder
        self._on_failure = on_failure
        self._pack_rows = pack_rows
        self._store: Store | None = None
        self._usable = True
        self._lock = threading.Lock()
        self._places: dict[bytes, tuple[str, int]] | None = None
        self._pack: tuple[str, Features] | None = None
        self._new: dict[bytes, Features] = {}

    def contains(self, digest: bytes) -> bool:
        """Whether a row is at hand."""
        with self._lock:
            return digest in self._known()

    def get(self, digest: bytes) -> Features | None:
        """A row, float32 [D], or None."""
        with self._lock:
            place = self._known().get(digest)
            if place is None:
                return None
            pack = self._load(place[0])
            if pack is None:
                self._places = {known: at for known, at in self._known().items() if at[0] != place[0]}
                return None
            row: Features = pack[place[1]]
            return row

    def add(self, digest: bytes, row: Features) -> None:
        """Keeps a new row; written when enough have come together, and by `close`."""
        with self._lock:
            if self._usable and digest not in self._known():
                self._new[digest] = row.copy()
            if len(self._new) >= self._pack_rows:
                self._write()

    def stop(self) -> None:
        """Leaves the cache alone from now on: rows of this process are not those that the folder promises."""
        with self._lock:
            self._usable, self._new = False, {}

    def close(self) -> None:
        """Writes what is held and releases the store; idempotent."""
        with self._lock:
            if self._new:
                self._write()
            if self._store is not None:
                self._store.close()
                self._store = None

    def _known(self) -> dict[bytes, tuple[str, int]]:
        if self._places is None:
            self._places = self._try(self._list) or {}
        return self._places

    def _list(self, store: Store) -> dict[bytes, tuple[str, int]]:
        places: dict[bytes, tuple[str, int]] = {}
        for entry in sorted(store.list(self._folder), key=lambda entry: entry.key):
            for row, digest in enumerate(_read_digests(store, entry.key)):
                places[digest] = (entry.key, row)
        return places

    def _load(self, key: str) -> Features | None:
        if self._pack is None or self._pack[0] != key:
            rows = self._try(lambda store: _read_pack(store, key))
            if rows is None:
                return None
            self._pack = (key, rows)
        return self._pack[1]

    def _write(self) -> None:
        digests = np.stack([np.frombuffer(digest, dtype=np.uint8) for digest in self._new])
        data = save_arrays({"digest": digests, "features": np.stack(list(self._new.values()))})
        key = f"{self._folder}/{hashlib.sha256(data).hexdigest()}"
        self._new = {}
        self._try(lambda store: _create(store, key, data))

    def _try(self, work: Callable[[Store], T]) -> T | None:
        """Does some work on the store; once that fails, the cache is left alone for the rest of the job."""
        if not self._usable:
            return None
        try:
            if self._store is None:
                self._store = self._open_store()
            return work(self._store)
        except StoreError as error:
            self._usable = False
            self._on_failure(str(error))
            return None


def _create(store: Store, key: str, data: bytes) -> None:
    try:
        store.put_if_absent(key, data)
    except KeyExists:
        return  # The same bytes: the name is their hash.


def _read_digests(store: Store, key: str) -> list[bytes]:
    """The contents that a pack holds, in order; none if it is not a pack."""
    start = store.get_range(key, 0, _HEADER_BYTES)
    try:
        length = struct.unpack("<Q", start[:8])[0]
        about = json.loads(start[8 : 8 + length])["digest"]
        first, last = (8 + length + as_count(offset) for offset in about["data_offsets"])
    except (struct.error, ValueError, LookupError, TypeError, RecursionError):
        return []
    if not 0 <= last - first <= 32 * PACK_ROWS:
        return []
    data = store.get_range(key, first, last)
    return [data[at : at + 32] for at in range(0, len(data) - 31, 32)]


def _read_pack(store: Store, key: str) -> Features | None:
    """The rows of a pack; None if its bytes are not those that its name promises."""
    data = store.get_range(key, 0, _MOST_BYTES)
    if hashlib.sha256(data).hexdigest() != key.rpartition("/")[2]:
        return None
    try:
        arrays = decode_arrays(data, key)
        features, digests = arrays["features"], arrays["digest"]
    except (DamagedData, KeyError):
        return None
    # Whoever may write to the cache may write what he likes under its own hash.
    fits = features.dtype == np.float32 and features.ndim == 2 and len(features) == len(digests)
    return features if fits else None
