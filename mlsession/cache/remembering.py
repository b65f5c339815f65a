"""Remembering what files hold, for all runs that share a cache; see `memo`. What is forgotten costs time alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mlsession.cache.handle import Handle
from mlsession.cache.memo import MEMO_BYTES, MOST_FACTS, Facts, encode_memo, facts_from, read_memo
from mlsession.cache.packs import MEMOS, Digests, is_memo
from mlsession.cache.trial import Trial
from mlsession.store.bulk import delete_all, get_many
from mlsession.store.protocol import Store

ENOUGH = 4_096
"""New entries that are worth a file before the run ends."""
_MOST_MEMOS = 16
"""Files before they become one."""

HasRoom = Callable[[int], bool]
"""Whether so many bytes more fit into the cache."""


class Memory:
    """What is known of files by their stamps, from any thread."""

    def __init__(self, handle: Handle, trial: Trial, *, is_trusted: bool = True) -> None:
        """One that is not trusted knows nothing, and takes in all that is noted: what contradicts it undoes it."""
        self._handle = handle
        self._trial = trial
        self._is_trusted = is_trusted
        self._lock = threading.Lock()
        self._new: dict[bytes, bytes] = {}
        self._written: list[Facts] = []
        self._facts: Facts | None = None
        """Those there were when they were asked for first."""
        self._used: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        """Which of them this run has used."""
        self._keys: frozenset[str] = frozenset()
        self.on_enough: Callable[[], None] = lambda: None
        """Has `write` called, in a while."""

    def digests(self, stamps: Sequence[bytes]) -> Digests | None:
        """uint8 [n, 32]: the SHA-256 of the bytes of the files with these stamps; None unless all are known."""
        if not self._is_trusted or not all(stamps):
            return None
        with self._lock:
            facts = self._known()
            places = facts.find(stamps)
            if (places < 0).any():
                return None
            self._used[places] = True
        return facts.digests[places]

    def note(self, stamp: bytes, digest: bytes) -> None:
        """Remembers of which bytes a stamp is. Has what is new written where that is `ENOUGH`."""
        if not self._trial.usable:
            return
        with self._lock:
            self._new[stamp] = digest
            is_enough = len(self._new) % ENOUGH == 0
        if is_enough:
            self.on_enough()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        with self._lock:
            return not (self._is_trusted and len(self._known()))

    @property
    def num_new(self) -> int:
        """Entries that are not written yet."""
        return len(self._new)

    @property
    def keys(self) -> frozenset[str]:
        """The files that this run has read or written."""
        return self._keys

    def write(self, has_room: HasRoom) -> None:
        """Writes what is new, if there is room for it. Raises `StoreError`."""
        with self._lock:
            new, self._new = self._new, {}
            facts = facts_from(new).without(self._known()) if new else Facts.none()
        if self._put(facts, has_room):
            self._written.append(facts)

    def finish(self, has_room: HasRoom) -> None:
        """Writes what is left, and makes one file of many. Raises `StoreError`.

        Where that would hold too much, only what this run has used stays.
        """
        self.write(has_room)
        if len(self._keys) <= _MOST_MEMOS:
            return
        before = self._facts or Facts.none()
        parts = [before if len(before) <= MOST_FACTS else before.only(self._used), *self._written]
        old, self._keys = self._keys, frozenset()
        if not self._put(Facts.all_of(parts), has_room):
            self._keys = old
            return
        with self._handle.use() as store:
            delete_all(store, sorted(old - self._keys))

    def _put(self, facts: Facts, has_room: HasRoom) -> bool:
        """Whether it could be written; in files of bounded size."""
        for start in range(0, len(facts), MOST_FACTS):
            key, data = encode_memo(facts.part(start, start + MOST_FACTS))
            if not has_room(len(data)):
                return False
            with self._handle.use() as store:
                store.put(key, data)
            self._keys |= {key}
        return bool(len(facts))

    def _known(self) -> Facts:
        """To be asked under the lock."""
        if self._facts is None:
            self._facts = self._trial.attempt(self._read) or Facts.none()
            self._used = np.zeros(len(self._facts), dtype=np.bool_)
        return self._facts if self._trial.usable else Facts.none()

    def _read(self) -> Facts:
        with self._handle.use() as store:
            listed = {entry.key: entry.size for entry in store.list(MEMOS.rstrip("/"))}
            sizes = {key: listed[key] for key in sorted(listed) if is_memo(key) and listed[key] <= MEMO_BYTES}
            parts = list[Facts]()
            for key, data in get_many(store, {key: size + 1 for key, size in sizes.items()}).items():
                facts = read_memo(data, key) or _read_again(store, key, sizes[key] + 1)
                if facts is not None:
                    parts.append(facts)
                    self._keys |= {key}
        return Facts.all_of(parts)


def _read_again(store: Store, key: str, limit: int) -> Facts | None:
    """It may have been damaged on its way here; if not, it goes, else every run would find it damaged."""
    data = get_many(store, {key: limit}).get(key)
    facts = None if data is None else read_memo(data, key)
    if data is not None and facts is None:
        store.delete(key)
    return facts
