"""Memos: what is known of files, never anything that was not noted, whatever becomes of the files of the cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mlsession.cache.handle import Handle
from mlsession.cache.memo import Facts, encode_memo, facts_from, read_memo
from mlsession.cache.packs import MEMOS
from mlsession.cache.remembering import ENOUGH, Memory
from mlsession.cache.trial import Trial
from mlsession.cache.upkeep import clear, look, make_room, note_use
from mlsession.phases.cache import FeatureCache
from mlsession.store import LocalStore, MemorySpace, MemoryStore
from mlsession.store.stamps import NO_STAMP

from .killed import BEFORE


def stamp(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def facts(numbers: Sequence[int]) -> Facts:
    return facts_from({stamp(number): digest(number) for number in numbers})


def memory(space: MemorySpace, *, is_trusted: bool = True) -> Memory:
    failures: list[str] = []
    return Memory(Handle(lambda: MemoryStore(space)), Trial(failures.append), is_trusted=is_trusted)


def noted(space: MemorySpace, numbers: Sequence[int], **given: bool) -> Memory:
    """A run that reads these files."""
    run = memory(space, **given)
    for number in numbers:
        run.note(stamp(number), digest(number))
    run.finish(lambda size: True)
    return run


def knows(space: MemorySpace, number: int) -> bool:
    """What is known is right."""
    found = memory(space).digests([stamp(number)])
    assert found is None or found[0].tobytes() == digest(number)
    return found is not None


def memos(space: MemorySpace) -> list[str]:
    return list(look(MemoryStore(space)).memos)


def test_what_one_run_has_read_others_know() -> None:
    space = MemorySpace()
    assert memory(space).is_empty
    noted(space, range(100))
    noted(space, range(50, 200))
    found = memory(space).digests([stamp(number) for number in (0, 199, 75)])
    assert found is not None
    assert [row.tobytes() for row in found] == [digest(number) for number in (0, 199, 75)]
    assert memory(space).digests([stamp(0), stamp(200)]) is None, "all of a batch, or nothing"
    assert memory(space).digests([stamp(0), NO_STAMP]) is None
    assert not memory(space).is_empty


def test_what_is_known_is_not_written_again() -> None:
    space = MemorySpace()
    noted(space, range(10))
    before = memos(space)
    noted(space, range(10))
    assert memos(space) == before


def test_much_that_is_new_is_written_on_the_way() -> None:
    """Where all features are at hand no pack is written, and a run that is killed should be remembered, too."""
    space, failed = MemorySpace(), list[str]()
    cache = FeatureCache(lambda: MemoryStore(space), "features/" + "0" * 32, failed.append)
    for number in range(ENOUGH):
        cache.memory.note(stamp(number), digest(number))
    deadline = time.monotonic() + 60
    while not memos(space) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(memos(space)), failed) == (1, [])
    assert knows(space, ENOUGH - 1)
    cache.close()


def test_a_stamp_that_begins_as_another_is_another() -> None:
    space = MemorySpace()
    noted(space, [1])
    assert memory(space).digests([stamp(1)[:8] + stamp(2)[8:]]) is None


def test_entries_that_contradict_each_other_say_nothing() -> None:
    space = MemorySpace()
    noted(space, range(5))
    verifying = memory(space, is_trusted=False)
    assert verifying.is_empty
    assert verifying.digests([stamp(3)]) is None
    verifying.note(stamp(3), digest(1000))
    verifying.note(stamp(4), digest(4))
    verifying.finish(lambda size: True)
    assert memory(space).digests([stamp(3)]) is None
    assert [knows(space, number) for number in range(5)] == [True, True, True, False, True]


def test_every_damaged_byte_is_noticed() -> None:
    key, data = encode_memo(facts([7, 8]))
    assert read_memo(data, key) is not None
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert read_memo(bytes(damaged), key) is None
    for length in range(len(data)):
        assert read_memo(data[:length], key) is None


@pytest.mark.parametrize(
    "header", [b"", b"[]", b'{"stamp": {}}', b'{"stamp": {"shape": []}, "digest": {"shape": [2]}}']
)
def test_what_somebody_else_has_put_there_is_no_memo(header: bytes) -> None:
    data = len(header).to_bytes(8, "little") + header
    assert read_memo(data, MEMOS + hashlib.sha256(data).hexdigest()) is None
    assert read_memo(b"", MEMOS + hashlib.sha256(b"").hexdigest()) is None


def test_a_damaged_memo_goes_and_the_rest_is_known() -> None:
    space = MemorySpace()
    noted(space, range(3))
    (first,) = memos(space)
    noted(space, range(3, 6))
    store = MemoryStore(space)
    data = store.get(first)
    store.put(first, data[:-1] + bytes([data[-1] ^ 1]))
    assert [knows(space, number) for number in range(6)] == [False] * 3 + [True] * 3
    assert first not in memos(space)
    noted(space, range(3))
    assert knows(space, 0)


def test_many_become_one_and_say_the_same() -> None:
    space = MemorySpace()
    for number in range(40):
        noted(space, [number])
        assert len(memos(space)) <= 17
    assert all(knows(space, number) for number in range(40))


def test_those_that_contradict_each_other_are_not_made_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.cache.remembering.FACTS_OF_A_FILE", 64)
    space = MemorySpace()
    noted(space, range(40))
    for content in (1000, 1001):
        run = memory(space, is_trusted=False)
        run.note(stamp(3), digest(content))
        run.finish(lambda size: True)
    for number in range(100, 120):
        noted(space, [number])
    assert memory(space).digests([stamp(3)]) is None
    assert all(knows(space, number) for number in (0, 4, 100, 119))


def test_large_ones_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.cache.remembering.FACTS_OF_A_FILE", 32)
    space = MemorySpace()
    noted(space, range(100))
    whole = set(memos(space))
    sizes = [len(read_memo(MemoryStore(space).get(key), key) or ()) for key in sorted(whole)]
    assert sorted(sizes) == [4, 32, 32, 32]
    for number in range(100, 130):
        noted(space, [number])
    assert len(whole & set(memos(space))) >= 3
    assert len(memos(space)) <= 3 + 17
    assert all(knows(space, number) for number in range(130))


def test_of_too_many_those_used_longest_ago_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.cache.remembering.FACTS_OF_A_FILE", 4)
    space = MemorySpace()
    size = len(encode_memo(facts(range(4)))[1])
    monkeypatch.setattr("mlsession.cache.writer.MOST_BYTES", 3 * size)

    def run(new: Sequence[int], used: Sequence[int] = ()) -> None:
        cache = FeatureCache(lambda: MemoryStore(space), "features/" + "0" * 32, pytest.fail)
        for number in used:
            assert cache.memory.digests([stamp(number)]) is not None
        for number in new:
            cache.memory.note(stamp(number), digest(number))
        cache.close()

    for first in (0, 10, 20):
        run(range(first, first + 4))
    run((), used=[1])
    run(range(30, 34))
    assert [first for first in (0, 10, 20, 30) if knows(space, first)] == [0, 20, 30]
    assert sum(look(MemoryStore(space)).memos.values()) == 3 * size


def test_more_than_the_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    space = MemorySpace()
    for number in range(4):
        noted(space, [number])
    size = len(encode_memo(facts([0]))[1])
    monkeypatch.setattr("mlsession.cache.remembering.MOST_BYTES", 2 * size)
    assert sum(knows(space, number) for number in range(4)) == 2


def test_without_room_nothing_is_written_and_nothing_lost() -> None:
    space = MemorySpace()
    noted(space, range(5))
    run = memory(space)
    run.note(stamp(9), digest(9))
    run.finish(lambda size: False)
    assert [knows(space, number) for number in (0, 4, 9)] == [True, True, False]


def test_memos_go_with_the_cache() -> None:
    space = MemorySpace()
    store = MemoryStore(space)
    for number in range(3):
        before = memos(space)
        note_use(store, look(store), noted(space, [number]).keys.difference(before))
    newest = memos(space)
    assert look(store).size_bytes == sum(look(store).memos.values())
    make_room(store, look(store), look(store).size_bytes - 1, (), "features/none")
    assert [knows(space, number) for number in range(3)] == [False, True, True]
    assert len(memos(space)) == len(newest) - 1
    clear(store)
    assert not list(store.list())


def test_a_million_entries_are_found_by_columns() -> None:
    rng = np.random.default_rng(0)
    stamps = rng.integers(0, 256, (1_000_000, 16), dtype=np.uint8)
    digests = rng.integers(0, 256, (1_000_000, 32), dtype=np.uint8)
    key, data = encode_memo(Facts.of(stamps, digests))
    known = read_memo(data, key)
    assert known is not None
    assert len(data) < 49 * 1_000_000
    places = known.find(stamps[[0, 999_999, 12_345]])
    assert (known.digests[places] == digests[[0, 999_999, 12_345]]).all()


def test_a_run_that_reads_many_files_needs_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.cache.remembering.FACTS_OF_A_FILE", 4 * ENOUGH)
    count = 20 * ENOUGH
    run = Memory(Handle(lambda: LocalStore(tmp_path)), Trial(pytest.fail))
    run.on_enough = lambda: run.write(lambda size: True)
    tracemalloc.start()
    try:
        for number in range(count):
            name = number.to_bytes(8, "little")
            run.note(2 * name, 4 * name)
        run.finish(lambda size: True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(look(LocalStore(tmp_path)).memos.values()) > 48 * count
    assert peak < 2 * 48 * count, "what is noted is neither held nor put together"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_at_any_write_the_cache_works(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.cache.killed", str(tmp_path)]
    ended = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    runs = [tuple(map(int, line.split())) for line in ended.stdout.splitlines()]
    assert len(runs) > 10
    assert {before for before, _, _ in runs} == {BEFORE - 1}, "what earlier runs knew is never lost"
    assert {after for _, _, after in runs} == {1}, "the next run remembers as ever"
    assert [own for _, own, _ in runs] == sorted(own for _, own, _ in runs)
    assert runs[-1][1] == 1
