"""Marks become one, what a cache holds is told, and half-made work of others is no trouble."""

from __future__ import annotations

import numpy as np

from mlsession.cache.inventory import Contents, contents
from mlsession.cache.memo import encode_memo, facts_from
from mlsession.cache.packs import about_key, encode_pack, folder_about, folder_of, pack_key
from mlsession.cache.upkeep import clear, look, make_room, note_use
from mlsession.store import MemoryStore

ABOUT = folder_about("lite0", {"threads": 2, "backend": "torch"})
FOLDER = folder_of(ABOUT)


def put_pack(store: MemoryStore, number: int, folder: str = FOLDER, rows: int = 2) -> str:
    digests = np.full((rows, 32), number, dtype=np.uint8)
    digests[:, 31] = range(rows)
    data = encode_pack(digests, np.full((rows, 5), number, dtype=np.float16))
    key = pack_key(folder, data)
    store.put(key, data)
    return key


def test_many_marks_become_one_and_say_the_same() -> None:
    store = MemoryStore()
    keys = [put_pack(store, number) for number in range(40)]
    for key in keys:
        note_use(store, look(store), [key])
        assert len(look(store).marks) <= 17
    size = look(store).size_bytes
    make_room(store, look(store), size // 2, (), FOLDER)
    assert set(look(store).packs) == set(keys[20:])


def test_what_a_killed_run_left_grows_old_as_well() -> None:
    store = MemoryStore()
    left = put_pack(store, 200)
    keys = [put_pack(store, number) for number in range(40)]
    for key in keys:
        note_use(store, look(store), [key])
    make_room(store, look(store), look(store).size_bytes * 20 // 41, (), FOLDER)
    assert left not in look(store).packs


def test_what_it_holds_is_told_by_extractor() -> None:
    store, other = MemoryStore(), folder_of(b"unknown")
    assert contents(store) == Contents(folders=(), num_known_files=0, memo_bytes=0)
    store.put(about_key(FOLDER), ABOUT)
    for number in range(3):
        put_pack(store, number)
    put_pack(store, 1, other, rows=7)
    known, unknown = contents(store).folders
    assert (known.extractor, known.num_packs, known.num_rows) == ("lite0", 3, 6)
    assert known.numerics == {"threads": "2", "backend": "torch"}
    assert (unknown.extractor, unknown.num_packs, unknown.num_rows) == ("", 1, 7)
    assert known.size_bytes + unknown.size_bytes == look(store).size_bytes
    assert clear(store) == (4, known.size_bytes + unknown.size_bytes)
    assert not list(store.list())


def test_what_is_known_of_files_counts_as_well() -> None:
    store = MemoryStore()
    put_pack(store, 1)
    sizes = []
    for numbers in (range(5), range(5, 12)):
        key, data = encode_memo(facts_from({bytes([number]) * 16: bytes([number]) * 32 for number in numbers}))
        store.put(key, data)
        sizes.append(len(data))
    found = contents(store)
    assert (found.num_known_files, found.memo_bytes) == (12, sum(sizes))
    assert found.size_bytes == found.folders[0].size_bytes + sum(sizes) == look(store).size_bytes
    damaged = look(store)
    for key, size in damaged.memos.items():
        store.put(key, store.get(key)[: size - 1])
    assert contents(store).num_known_files == 0


def test_the_last_pack_of_an_extractor_takes_its_name_along() -> None:
    store = MemoryStore()
    store.put(about_key(FOLDER), ABOUT)
    first, second = put_pack(store, 1), put_pack(store, 2)
    half = look(store).size_bytes // 2
    assert make_room(store, look(store), half, (first,), FOLDER) == half
    assert about_key(FOLDER) in look(store).abouts
    assert make_room(store, look(store), 0, (), FOLDER) == 0
    assert not list(store.list())
    assert second != first
