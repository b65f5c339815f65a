"""Features shared between sessions, by content: no view of an image is extracted twice, whatever it is called.

A pack is an immutable file of up to `PACK_ROWS` rows, named by its own SHA-256, under a folder that stands for
everything that gives a feature its bits: extractor identity and numerics id. Any number of runs read and write it at
once. Rows are copied into a session, so deleting the cache, or a part of it, harms no session: it costs time. So does
a cache that fails, and never a training.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.augment.views import ViewPlan
from mlsession.cache.handle import Handle
from mlsession.cache.packs import PACK_ROWS, folder_about, folder_of, rows_of_a_pack
from mlsession.cache.reader import PackReader
from mlsession.cache.remembering import Memory
from mlsession.cache.trial import Trial
from mlsession.cache.writer import PackWriter
from mlsession.extractors.halves import Halves
from mlsession.session.log.canonical import canonical_json
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Json
from mlsession.store.protocol import Store


def cache_folder(identity: str, numerics: Mapping[str, Json]) -> str:
    """The folder of features that are equal to the bit."""
    return folder_of(folder_about(identity, numerics))


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
    """Rows of features by `view_key`, from any thread.

    What is added is at hand at once. Packs are written in a thread of its own as rows come together, and by `close`.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        folder: str,
        on_failure: Callable[[str], None],
        *,
        about: bytes = b"",
        limit: int = CACHE_BYTES,
        pack_rows: int = PACK_ROWS,
        trusts_stamps: bool = True,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        """`about` says what the folder is of (`folder_about`), for people.

        All packs of the cache, of other extractors, too, have at most `limit` bytes when this run ends: those used
        longest ago go, never those that it has used itself; where these alone are too large, it adds no more, and
        `on_full` is called once. With `trusts_stamps` off, what files are known to hold is not believed.
        """
        self._trial = Trial(on_failure)
        self._handle = Handle(open_store)
        self._reader = PackReader(self._handle, folder, self._trial)
        self.memory = Memory(self._handle, self._trial, is_trusted=trusts_stamps)
        """What files are known to hold."""
        self._writer = PackWriter(
            self._handle, folder, about, limit, pack_rows, self._reader, self.memory, self._trial, on_full
        )
        self._pack_rows = pack_rows
        self._lock = threading.Lock()
        self._new: dict[bytes, Halves] = {}
        self._writing: list[dict[bytes, Halves]] = []

    def contains(self, key: bytes) -> bool:
        """Whether a row is at hand."""
        return self._held(key) is not None or self._reader.has(key)

    def get(self, key: bytes) -> Halves | None:
        """A row, float16 [D], or None."""
        held = self._held(key)
        return held if held is not None else self._reader.rows([key]).get(key)

    def lookup(self, keys: Sequence[bytes]) -> tuple[npt.NDArray[np.bool_], Halves]:
        """Which of n keys have rows, bool [n], and those rows in order, float16 [hits, D]; each pack is read once.

        Rows of another length than the first one's are not given.
        """
        with self._lock:
            held = [some for some in (self._new, *self._writing) if some]
            rows = {key: some[key] for some in held for key in keys if key in some}
        rows |= self._reader.rows([key for key in keys if key not in rows])
        found = [rows.get(key) for key in keys]
        width = next((len(row) for row in found if row is not None), 0)
        hits = [row for row in found if row is not None and len(row) == width]
        mask = np.array([row is not None and len(row) == width for row in found], dtype=np.bool_)
        return mask, np.stack(hits) if hits else np.empty((0, width), dtype=np.float16)

    def add(self, key: bytes, row: Halves) -> None:
        """Keeps a new row, float16 [D]; waits where the store is slower than rows are made."""
        if not self._trial.usable or self.contains(key):
            return
        full: dict[bytes, Halves] | None = None
        with self._lock:
            # It is halves by now, whichever type they come in.
            self._new[key] = np.array(row, dtype=np.float16)
            if len(self._new) >= rows_of_a_pack(len(row), self._pack_rows):
                full = self._take_new()
        if full is not None:
            self._write(full)

    def stop(self) -> None:
        """Leaves the cache alone from now on: rows of this process are not those that the folder promises."""
        self._trial.give_up()
        with self._lock:
            self._new = {}

    def close(self) -> None:
        """Writes what is held, makes room and releases the store; idempotent."""
        with self._lock:
            left = self._take_new()
        try:
            if left:
                self._write(left)
            self._writer.close()
        finally:
            self._reader.close()
            self._handle.close()

    def _held(self, key: bytes) -> Halves | None:
        """A row that is not written yet."""
        with self._lock:
            for rows in (self._new, *self._writing):
                if key in rows:
                    return rows[key]
        return None

    def _take_new(self) -> dict[bytes, Halves]:
        new, self._new = self._new, {}
        if new:
            self._writing.append(new)
        return new

    def _write(self, rows: dict[bytes, Halves]) -> None:
        self._writer.write(rows, partial(self._written, rows))

    def _written(self, rows: dict[bytes, Halves]) -> None:
        with self._lock:
            self._writing = [others for others in self._writing if others is not rows]
