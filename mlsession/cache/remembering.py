"""Remembering what files hold, for all runs that share a cache; see `memo`. What is forgotten costs time alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from mlsession.cache.handle import Handle
from mlsession.cache.memo import (
    FACTS_OF_A_FILE,
    MEMO_BYTES,
    Facts,
    encode_memo,
    facts_from,
    find_in,
    read_memo,
    stamp_matrix,
)
from mlsession.cache.packs import MEMOS, Digests, is_memo
from mlsession.cache.trial import Trial
from mlsession.store.bulk import delete_all, get_many
from mlsession.store.protocol import Store

ENOUGH = 4_096
"""New entries that are worth a file before the run ends."""
MOST_BYTES = 200_000_000
"""Of all memos together, those of four million files: more are not read, and those used longest ago go."""
_MOST_SMALL = 16
"""Files that are less than half full, before some are put together."""

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
        self._facts: tuple[Facts, ...] | None = None
        """Those there were when they were asked for first."""
        self._sources: tuple[frozenset[str], ...] = ()
        """The files that each of them is of."""
        self._counts: dict[str, int] = {}
        """Entries of each file that was read or written."""
        self._used: set[str] = set()
        """Files that this run has found something in, or written."""
        self.on_enough: Callable[[], None] = lambda: None
        """Has `write` called, in a while."""

    def digests(self, stamps: Sequence[bytes]) -> Digests | None:
        """uint8 [n, 32]: the SHA-256 of the bytes of the files with these stamps; None unless all are known."""
        if not self._is_trusted or not all(stamps):
            return None
        with self._lock:
            whose, digests = find_in(self._known(), stamp_matrix(stamps))
            if (whose < 0).any():
                return None
            for part in set(whose.tolist()):
                self._used |= self._sources[part]
        return digests

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
            return not (self._is_trusted and self._known())

    @property
    def num_new(self) -> int:
        """Entries that are not written yet."""
        return len(self._new)

    @property
    def keys(self) -> frozenset[str]:
        """The files that this run has found something in, or written."""
        with self._lock:
            return frozenset(self._used)

    def write(self, has_room: HasRoom) -> None:
        """Writes what is new, if there is room for it. Raises `StoreError`."""
        with self._lock:
            new, self._new = self._new, {}
            facts = facts_from(new).without(self._known()) if new else Facts.none()
        for start in range(0, len(facts), FACTS_OF_A_FILE):
            self._put(facts.part(start, start + FACTS_OF_A_FILE), has_room)

    def finish(self, has_room: HasRoom) -> None:
        """Writes what is left, and makes larger files of many small ones. Raises `StoreError`."""
        self.write(has_room)
        small = {key: count for key, count in self._counts.items() if 2 * count < FACTS_OF_A_FILE}
        if len(small) > _MOST_SMALL:
            for keys in _groups(small):
                self._merge(keys, has_room)

    def _merge(self, keys: Sequence[str], has_room: HasRoom) -> None:
        """Makes one file of some; it is whole before they go."""
        with self._handle.use() as store:
            data = get_many(store, dict.fromkeys(keys, MEMO_BYTES))
        parts = [facts for key in sorted(data) if (facts := read_memo(data[key], key)) is not None]
        merged = Facts.all_of(parts) if parts else None
        if merged is None or (key := self._put(merged, has_room)) is None:
            return
        with self._handle.use() as store:
            delete_all(store, sorted(set(keys) - {key}))
        with self._lock:
            for gone in set(keys) - {key}:
                self._counts.pop(gone)
                self._used.discard(gone)

    def _put(self, facts: Facts, has_room: HasRoom) -> str | None:
        """Writes a file, if there is room for it; its key."""
        key, data = encode_memo(facts)
        if not has_room(len(data)):
            return None
        with self._handle.use() as store:
            store.put(key, data)
        with self._lock:
            self._counts[key] = len(facts)
            self._used.add(key)
        return key

    def _known(self) -> tuple[Facts, ...]:
        """To be asked under the lock."""
        if self._facts is None:
            found = self._trial.attempt(self._read) or {}
            self._counts |= {key: len(facts) for key, facts in found.items()}
            # So that a cache of many small files is searched as fast as one of few.
            small = frozenset(key for key in found if 2 * len(found[key]) < FACTS_OF_A_FILE)
            together = Facts.all_of([found[key] for key in sorted(small)]) if small else None
            parts = {frozenset([key]): found[key] for key in found if together is None or key not in small}
            parts |= {} if together is None else {small: together}
            self._sources, self._facts = tuple(parts), tuple(parts.values())
        return self._facts if self._trial.usable else ()

    def _read(self) -> dict[str, Facts]:
        with self._handle.use() as store:
            listed = {entry.key: entry.size for entry in store.list(MEMOS.rstrip("/"))}
            sizes = _within({key: listed[key] for key in sorted(listed) if is_memo(key) and listed[key] <= MEMO_BYTES})
            found = dict[str, Facts]()
            for key, data in get_many(store, {key: size + 1 for key, size in sizes.items()}).items():
                facts = read_memo(data, key) or _read_again(store, key, sizes[key] + 1)
                if facts is not None:
                    found[key] = facts
        return found


def _within(sizes: Mapping[str, int]) -> dict[str, int]:
    """The first ones that have `MOST_BYTES` together."""
    chosen, held = dict[str, int](), 0
    for key, size in sizes.items():
        held += size
        if held <= MOST_BYTES:
            chosen[key] = size
    return chosen


def _groups(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Files that fit into one, two at least, the smallest first."""
    group, held = list[str](), 0
    for key in sorted(counts, key=lambda key: (counts[key], key)):
        if held + counts[key] > FACTS_OF_A_FILE:
            yield group
            group, held = [], 0
        group.append(key)
        held += counts[key]
    if len(group) > 1:
        yield group


def _read_again(store: Store, key: str, limit: int) -> Facts | None:
    """It may have been damaged on its way here; if not, it goes, else every run would find it damaged."""
    data = get_many(store, {key: limit}).get(key)
    facts = None if data is None else read_memo(data, key)
    if data is not None and facts is None:
        store.delete(key)
    return facts
