"""Several keys in one go: what a store may offer beyond `Store`, and the same for those that do not.

On a bucket a request takes as long as light and queues take, however small it is; so what matters is how many of them
wait for each other. A store that can ask for several values at once has `get_many`, one that can send several at once
`put_many`, one that can list a part at a time `list_part`, one that can list from the middle `list_page`, one that can
remove several keys at once `delete_some`, one that can send a file without holding all of it in memory `put_file`.
Callers use the functions of this module, which make do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mlsession.errors import KeyMissing, StoreError
from mlsession.store.protocol import Entry, Store

PAGE = 1_000
"""Keys of one page of a listing; S3 gives no more."""


@runtime_checkable
class ReadsMany(Protocol):
    """A store that asks for several values at once."""

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        """Of each key the first bytes, as many as `limits` says or fewer; missing keys are absent.

        Raises what `Store.get` raises, but for `KeyMissing`, if any of them fails.
        """
        ...


@runtime_checkable
class PutsMany(Protocol):
    """A store that sends several values at once."""

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """As `Store.put` with each of them. If it raises, any of them may have been written."""
        ...


@runtime_checkable
class ListsPages(Protocol):
    """A store that lists from the middle."""

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
        """The first `count` keys below the folder `prefix` that sort after the key `after` ("": all), in that order.

        Keys sort as their UTF-8 bytes do. Fewer are all that there are. None where it turns out that this place cannot
        do it. Raises what `Store.list` raises.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPart:
    """A part of a listing."""

    entries: tuple[Entry, ...]
    mark: str
    """What to ask for the next part with; "" where this is the last one."""


@runtime_checkable
class ListsParts(Protocol):
    """A store that lists a part at a time, in whatever order it has."""

    def list_part(self, prefix: str, mark: str) -> ListedPart | None:
        """The part of the listing of the folder `prefix` that `mark` stands for, which "" is the first one.

        It may be asked for again. None where it turns out that this place cannot do it, which it says of the first
        part or of none. Raises what `Store.list` raises.
        """
        ...


@runtime_checkable
class DeletesSome(Protocol):
    """A store that removes several keys at once."""

    def delete_some(self, keys: Sequence[str]) -> int:
        """Removes the first of `keys` (at least one is given), as many as one request can; returns how many.

        A missing one is no error. If it raises, which it does as `Store.delete`, any of them may be gone.
        """
        ...


@runtime_checkable
class PutsFiles(Protocol):
    """A store that takes a value out of a file."""

    def put_file(self, key: str, path: Path) -> None:
        """As `Store.put` with all bytes of the local file `path`, of which only a part is in memory at a time."""
        ...


@runtime_checkable
class Describes(Protocol):
    """A store that says of one key what a listing would, without listing."""

    def describe(self, key: str) -> Entry:
        """Raises what `Store.get` raises, `KeyMissing` among it."""
        ...


class Readable(Protocol):
    """Whatever values can be read from."""

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """As `Store.get_range`."""
        ...


def get_many(store: Store, limits: Mapping[str, int]) -> dict[str, bytes]:
    """See `ReadsMany`; one after the other where the store cannot do it at once. All are held in memory."""
    if isinstance(store, ReadsMany):
        return store.get_many(limits)
    found: dict[str, bytes] = {}
    for key, limit in limits.items():
        try:
            found[key] = store.get_range(key, 0, limit)
        except KeyMissing:
            continue
    return found


def put_many(store: Store, values: Mapping[str, bytes]) -> None:
    """See `PutsMany`; one after the other where the store cannot do it at once."""
    if isinstance(store, PutsMany):
        store.put_many(values)
    else:
        for key, data in values.items():
            store.put(key, data)


def list_page(store: Store, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
    """See `ListsPages`; None for a store that has to list everything."""
    return store.list_page(prefix, after, count) if isinstance(store, ListsPages) else None


def list_part(store: Store, prefix: str, mark: str) -> ListedPart | None:
    """See `ListsParts`; None for a store that has to list everything."""
    return store.list_part(prefix, mark) if isinstance(store, ListsParts) else None


def parts_from(first: ListedPart, ask: Callable[[str], ListedPart | None], url: str) -> Iterator[Entry]:
    """The entries of a part and of all that follow it, each asked for (by its mark) once it is needed.

    Raises what `ask` raises, and `StoreError` for a place that says it has more and does not say what.
    """
    part = first
    while True:
        yield from part.entries
        if not part.mark:
            return
        following = ask(part.mark)
        if following is None or following.mark == part.mark:
            raise StoreError(f"{url}: the listing broke off; run the same command again")
        part = following


def list_between(store: Store, prefix: str, after: str, last: str) -> Iterator[Entry]:
    """The keys below the folder `prefix` that sort after the key `after` and not after `last`; few requests for few.

    In no particular order, and some may come twice.
    """
    while (page := list_page(store, prefix, after, PAGE)) is not None:
        yield from (entry for entry in page if entry.key <= last)
        if len(page) < PAGE or page[-1].key >= last:
            return
        after = page[-1].key
    yield from (entry for entry in store.list(prefix) if after < entry.key <= last)


def describe(store: Store, key: str) -> Entry:
    """See `Describes`. Raises `StoreError` for a store that cannot."""
    if not isinstance(store, Describes):
        raise StoreError(f"{store.url}: this store says nothing of one key alone", key)
    return store.describe(key)


def delete_some(store: Store, keys: Sequence[str]) -> int:
    """See `DeletesSome`; the first one where the store cannot do several."""
    if isinstance(store, DeletesSome):
        return store.delete_some(keys)
    store.delete(keys[0])
    return 1


def delete_all(store: Store, keys: Iterable[str]) -> None:
    """Removes `keys`, with few requests where the store can do several. Raises as `Store.delete` does."""
    left = list(keys)
    while left:
        del left[: delete_some(store, left)]


def put_file(store: Store, key: str, path: Path) -> None:
    """See `PutsFiles`; through memory where the store cannot."""
    if isinstance(store, PutsFiles):
        store.put_file(key, path)
    else:
        store.put(key, path.read_bytes())


class ReadAhead:
    """Values that do not change, asked for before they are needed, several at once; kept as long as this is.

    Belongs to the thread of its store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, bytes | None] = {}
        self._limits: dict[str, int] = {}

    def fetch(self, limits: Mapping[str, int]) -> None:
        """Has the first bytes of these keys here from now on, or that they are missing. Raises as `get_many` does."""
        wanted = {key: limit for key, limit in limits.items() if self._limits.get(key, -1) < limit}
        if wanted:
            found = get_many(self._store, wanted)
            self._limits |= wanted
            self._held |= {key: found.get(key) for key in wanted}

    def holds(self, key: str) -> bool:
        """Whether the key was fetched, be it missing or not."""
        return key in self._held

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """As `Store.get_range`; asks for nothing that is here. Raises `KeyMissing`."""
        if self._limits.get(key, -1) < stop:
            return self._store.get_range(key, start, stop)
        data = self._held[key]
        if data is None:
            raise KeyMissing(f"{self._store.url}: there is no {key}", key)
        return data[start:stop]
