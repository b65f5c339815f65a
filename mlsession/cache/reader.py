"""Reading a folder of the feature cache: an index of all its digests, and packs as their rows are asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from mlsession.cache.handle import Handle
from mlsession.cache.packs import Digests, PackFront, PackShape, is_pack, read_pack
from mlsession.cache.places import NOWHERE, Places
from mlsession.cache.shelf import Shelf
from mlsession.cache.trial import Trial
from mlsession.cache.upkeep import read_fronts
from mlsession.errors import KeyMissing
from mlsession.extractors.halves import Halves


class PackReader:
    """The rows of one folder. From any thread: looking into the index waits for no reading."""

    def __init__(self, handle: Handle, folder: str, trial: Trial) -> None:
        self._handle = handle
        self._folder = folder
        self._trial = trial
        self._reading = threading.Lock()
        """Held by who uses the shelf."""
        self._changing = threading.Lock()
        """Held for as long as the index is exchanged."""
        self._is_open = False
        self._places = Places()
        self._packs: list[PackShape] = []
        """By number; a pack that has gone keeps its own."""
        self._alive: dict[str, int] = {}
        self._used: set[str] = set()
        self._shelf = Shelf()

    def has(self, key: bytes) -> bool:
        """Whether there is a row of this key."""
        return bool(self._index().find([key])[0][0] != NOWHERE)

    def rows(self, keys: Sequence[bytes]) -> dict[bytes, Halves]:
        """The rows of these keys that there are, float16 [D]. Those of packs that are damaged or gone are left out."""
        found: dict[bytes, Halves] = {}
        left: Sequence[bytes] = list(dict.fromkeys(keys))
        index = self._index()
        if bool((index.find(left)[0] == NOWHERE).all()):
            return found  # Nobody waits who has nothing to wait for.
        with self._reading:
            while left:
                left = self._read_some(index, left, found)
                index = self._places
        return found

    def take(self, front: PackFront, key: str, rows: Halves) -> None:
        """Has a pack that was written by this process in the index."""
        with self._reading:
            (number,) = self._add([(key, front)])
            self._used.add(key)
            self._shelf.put(number, front.digests, rows)

    @property
    def used(self) -> frozenset[str]:
        """The packs that rows were read from or written to."""
        with self._reading:
            return frozenset(self._used)

    @property
    def packs(self) -> tuple[PackShape, ...]:
        """Those known."""
        with self._changing:
            return tuple(self._packs[number] for number in self._alive.values())

    def close(self) -> None:
        """Releases what is held; idempotent."""
        with self._reading:
            self._shelf.close()

    def _index(self) -> Places:
        if not self._is_open:
            with self._reading:
                if not self._is_open:
                    self._trial.attempt(self._list)
                    self._is_open = True
        return self._places if self._trial.usable else Places()

    def _read_some(self, index: Places, keys: Sequence[bytes], found: dict[bytes, Halves]) -> list[bytes]:
        """Reads rows, one pack after the other; gives back the keys to look for again, because a pack has gone."""
        numbers, places = (found_at.tolist() for found_at in index.find(keys))
        asked: dict[int, list[tuple[bytes, int]]] = {}
        for key, number, place in zip(keys, numbers, places, strict=True):
            if number != NOWHERE:
                asked.setdefault(number, []).append((key, place))
        again: list[bytes] = []
        for number, wanted in asked.items():
            if self._alive.get(self._packs[number].key) != number or not self._load(number):
                again += [key for key, _ in wanted]
                continue
            for key, place in wanted:
                digest, row = self._shelf.row(number, place)
                if digest == key:
                    found[key] = row
        return again if self._trial.usable else []

    def _load(self, number: int) -> bool:
        """Has a pack at hand; if that cannot be had it goes out of the index."""
        if self._shelf.has(number):
            return True
        key = self._packs[number].key
        try:
            pack = self._trial.attempt(lambda: self._read(key))
        except _GoneError:
            # Deleted, to make room or because its rows lie in another pack by now.
            self._remove([key])
            self._trial.attempt(self._list)
            return False
        if pack is None:
            self._remove([key])
            return False
        self._used.add(key)
        self._shelf.put(number, *pack)
        return True

    def _read(self, key: str) -> tuple[Digests, Halves] | None:
        size = self._packs[self._alive[key]].size
        for _ in range(2):  # The first time it may have been damaged on its way here.
            try:
                with self._handle.use() as store:
                    data = store.get_range(key, 0, size + 1)
            except KeyMissing as error:
                raise _GoneError from error
            if (pack := read_pack(data, key)) is not None:
                return pack
        with self._handle.use() as store:
            store.delete(key)  # Else it would be read, and found damaged, by every run.
        return None

    def _list(self) -> None:
        """Brings the index up to what is stored."""
        with self._handle.use() as store:
            listed = {entry.key: entry.size for entry in store.list(self._folder)}
            packs: Mapping[str, int] = {key: listed[key] for key in sorted(listed) if is_pack(key)}
            new = {key: size for key, size in packs.items() if key not in self._alive}
            fronts = list(read_fronts(store, new))
        self._remove([key for key in self._alive if key not in packs])
        self._add(fronts)

    def _add(self, packs: Sequence[tuple[str, PackFront]]) -> range:
        """Numbers packs and puts them into the index."""
        with self._changing:
            first = len(self._packs)
            for key, front in packs:
                self._alive[key] = len(self._packs)
                self._packs.append(front.shape(key))
            numbers = range(first, len(self._packs))
            digests = [front.digests for _, front in packs]
            self._places = self._places.having(list(zip(numbers, digests, strict=True)))
            return numbers

    def _remove(self, keys: Sequence[str]) -> None:
        with self._changing:
            numbers = [self._alive.pop(key) for key in keys]
            if numbers:
                self._places = self._places.without(numbers)
        for number in numbers:
            self._shelf.drop(number)


class _GoneError(Exception):
    """A pack that was listed is not there any more."""


def as_matrix(keys: Sequence[bytes]) -> Digests:
    """uint8 [n, 32] of n digests."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
