"""Keeping a feature cache small and quick to open: what it holds, what to delete of it, what to put together.

Any number of runs do this at once, without locks. What one deletes while another wants it, that one computes again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mlsession.cache.packs import (
    FRONT_BYTES,
    ROOT,
    PackFront,
    PackShape,
    about_key,
    encode_pack,
    is_memo,
    is_ours,
    is_pack,
    pack_key,
    read_front,
    read_pack,
    rows_of_a_pack,
)
from mlsession.cache.recency import MARK_BYTES, MARKS, encode_mark, fold, marked, next_generation, victims
from mlsession.store.bulk import delete_some, get_many
from mlsession.store.protocol import Store

_MOST_MARKS = 16
"""Marks that are read one by one before they become one."""
_MOST_SMALL = 16
"""Packs of a folder that are less than half full, before some are put together."""
_MOST_AT_ONCE = 64
_BYTES_AT_ONCE = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The files of a cache, of all extractors, by key; what is not ours is left out."""

    packs: Mapping[str, int] = field(default_factory=dict)
    """Bytes."""
    memos: Mapping[str, int] = field(default_factory=dict)
    """Bytes."""
    marks: tuple[str, ...] = ()
    abouts: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of what is kept as long as there is room: packs and memos."""
        return {**self.packs, **self.memos}

    @property
    def size_bytes(self) -> int:
        """Of all packs and memos."""
        return sum(self.packs.values()) + sum(self.memos.values())

    def of(self, folder: str) -> dict[str, int]:
        """The packs of one folder."""
        return {key: size for key, size in self.packs.items() if key.startswith(f"{folder}/")}


def look(store: Store) -> Holding:
    """What a cache holds now; one listing."""
    packs, memos, marks, abouts = dict[str, int](), dict[str, int](), list[str](), list[str]()
    for entry in sorted(store.list(ROOT), key=lambda entry: entry.key):
        if is_pack(entry.key):
            packs[entry.key] = entry.size
        elif is_memo(entry.key):
            memos[entry.key] = entry.size
        elif is_ours(entry.key):
            (marks if entry.key.startswith(MARKS) else abouts).append(entry.key)
    return Holding(packs=packs, memos=memos, marks=tuple(marks), abouts=tuple(abouts))


def read_fronts(store: Store, packs: Mapping[str, int]) -> Iterator[tuple[str, PackFront]]:
    """What packs, by key with their sizes, hold; several are asked for at once. Those that are none are left out."""
    for some in _in_turns({key: min(size, FRONT_BYTES) for key, size in packs.items()}):
        for key, data in get_many(store, some).items():
            front = read_front(data)
            if front is not None and front.size == packs[key]:
                yield key, front


def note_use(store: Store, holding: Holding, used: Collection[str]) -> None:
    """Leaves word that these packs and memos were used now. Of many marks it makes one."""
    generation = next_generation(holding.marks)
    uses = marked(used, generation)
    folded: Sequence[str] = ()
    if len(holding.marks) >= _MOST_MARKS:
        folded, before = holding.marks, _uses(store, holding)
        # Packs that a killed run has left are of now: nobody else will say so.
        here = marked(holding.sizes, generation)
        uses = {pack: before.get(pack, generation) for pack in here} | uses
    key, data = encode_mark(uses)
    store.put(key, data)
    _delete(store, [mark for mark in folded if mark != key])


def make_room(store: Store, holding: Holding, limit: int, kept: Collection[str], folder: str) -> int:
    """Deletes the packs and memos used longest ago until `limit` bytes are left; returns how many bytes are.

    Never those in `kept`, so it may be more.
    """
    if holding.size_bytes <= limit:
        return holding.size_bytes
    sizes = holding.sizes
    gone = victims(sizes, _uses(store, holding), limit, kept, folder)
    left = {key: size for key, size in sizes.items() if key not in set(gone)}
    empty = {about_key(folder_in(key)) for key in gone} - {about_key(folder_in(key)) for key in left}
    _delete(store, [*gone, *empty.intersection(holding.abouts)])
    return sum(left.values())


def forget_oldest(store: Store, holding: Holding, limit: int, kept: Collection[str]) -> Holding:
    """Deletes the memos used longest ago, those in `kept` excepted, until they have `limit` bytes; gives what is left.

    Each run reads all of them.
    """
    if sum(holding.memos.values()) <= limit:
        return holding
    gone = victims(holding.memos, _uses(store, holding), limit, kept, "")
    _delete(store, gone)
    return replace(holding, memos={key: size for key, size in holding.memos.items() if key not in set(gone)})


def merge_small(store: Store, packs: Sequence[PackShape], folder: str, pack_rows: int) -> str | None:
    """Makes one pack of those that are less than half full, if there are many; returns its key.

    The new one is whole before the old ones go. Two that do the same at once make the same pack.
    """
    chosen, count = list[PackShape](), 0
    for pack in sorted(packs, key=lambda pack: (pack.num_rows, pack.key)):
        most = rows_of_a_pack(pack.width, pack_rows)
        fits = 2 * pack.num_rows < most and (not chosen or pack.width == chosen[0].width)
        if fits and count + pack.num_rows <= most:
            chosen.append(pack)
            count += pack.num_rows
    if len(chosen) < _MOST_SMALL:
        return None
    data = get_many(store, {pack.key: pack.size + 1 for pack in chosen})
    whole = [read for key in sorted(data) if (read := read_pack(data[key], key)) is not None]
    if not whole:
        return None
    digests, rows = (np.concatenate(parts) for parts in zip(*whole, strict=True))
    _, first = np.unique(digests, axis=0, return_index=True)
    merged = encode_pack(digests[first], rows[first])
    key = pack_key(folder, merged)
    store.put(key, merged)
    _delete(store, [pack.key for pack in chosen if pack.key != key])
    return key


def clear(store: Store) -> tuple[int, int]:
    """Deletes all that a cache has written, and nothing else; returns how many packs and bytes that was."""
    holding = look(store)
    _delete(store, [*holding.sizes, *holding.marks, *holding.abouts])
    return len(holding.packs), holding.size_bytes


def _uses(store: Store, holding: Holding) -> dict[str, int]:
    return fold(get_many(store, dict.fromkeys(holding.marks, MARK_BYTES)))


def _in_turns(limits: Mapping[str, int]) -> Iterator[dict[str, int]]:
    some: dict[str, int] = {}
    for key, limit in limits.items():
        if some and (len(some) == _MOST_AT_ONCE or sum(some.values()) + limit > _BYTES_AT_ONCE):
            yield some
            some = {}
        some[key] = limit
    if some:
        yield some


def folder_in(key: str) -> str:
    """The folder of a pack."""
    return key.rpartition("/")[0]


def _delete(store: Store, keys: Sequence[str]) -> None:
    left = [key for key in keys if is_ours(key)]
    while left:
        left = left[delete_some(store, left) :]
