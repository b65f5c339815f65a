"""The feature cache: rows by content, packs by hash, several writers, a bound, and no harm done when it fails."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from mlsession.cache.upkeep import clear, look
from mlsession.errors import StoreDenied, StoreUnavailable
from mlsession.extractors.halves import Halves
from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.store import Entry, MemorySpace, MemoryStore

WIDTH = 7
FOLDER = cache_folder("extractor", {"threads": 2})
OTHER = cache_folder("other", {"threads": 2})


def digest_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def digests_of(numbers: Sequence[int]) -> list[bytes]:
    return [digest_of(number) for number in numbers]


def row_of(number: int) -> Halves:
    return np.full(WIDTH, number, dtype=np.float16)


def opened(
    space: MemorySpace,
    failures: list[str] | None = None,
    folder: str = FOLDER,
    limit: int = 10**9,
    pack_rows: int = 4096,
    full: list[str] | None = None,
) -> FeatureCache:
    heard, told = ([] if given is None else given for given in (failures, full))
    return FeatureCache(
        lambda: MemoryStore(space),
        folder,
        heard.append,
        limit=limit,
        pack_rows=pack_rows,
        on_full=lambda: told.append("full"),
    )


def fill(cache: FeatureCache, numbers: Sequence[int]) -> None:
    for number in numbers:
        cache.add(digest_of(number), row_of(number))


def filled(space: MemorySpace, numbers: Sequence[int], **given: int | str) -> None:
    cache = opened(space, **given)  # type: ignore[arg-type]
    fill(cache, numbers)
    cache.close()


def known(cache: FeatureCache, numbers: Sequence[int]) -> list[int]:
    """Those whose rows are there, and right."""
    mask, rows = cache.lookup(digests_of(numbers))
    found = np.array(numbers)[mask]
    assert rows.dtype == np.float16
    assert rows.tolist() == [[number] * WIDTH for number in found]
    return [int(number) for number in found]


def packs(space: MemorySpace) -> list[str]:
    return list(look(MemoryStore(space)).packs)


def test_rows_come_back_by_content() -> None:
    space = MemorySpace()
    filled(space, range(5))
    filled(space, range(3, 9))
    cache = opened(space)
    assert all(cache.contains(digest_of(number)) for number in range(9))
    assert not cache.contains(digest_of(9))
    assert cache.get(digest_of(9)) is None
    for number in (8, 0, 4, 7, 1):
        row = cache.get(digest_of(number))
        assert row is not None
        assert row.tolist() == [number] * WIDTH
    assert known(cache, [20, 3, 3, 8, 21, 0]) == [3, 3, 8, 0]
    assert known(cache, []) == []
    cache.close()


def test_what_was_added_is_at_hand_at_once_and_after_it_was_written() -> None:
    space = MemorySpace()
    cache = opened(space, pack_rows=4)
    for number in range(11):
        assert not cache.contains(digest_of(number))
        fill(cache, [number])
        assert known(cache, range(12)) == list(range(number + 1))
        row = cache.get(digest_of(number))
        assert row is not None
        assert row.tolist() == [number] * WIDTH
    cache.close()
    assert len(packs(space)) == 3


def test_a_digest_that_begins_as_another_is_another() -> None:
    space = MemorySpace()
    filled(space, [1])
    alike = digest_of(1)[:8] + digest_of(2)[8:]
    cache = opened(space)
    assert cache.get(alike) is None
    assert cache.lookup([alike, digest_of(1)])[0].tolist() == [False, True]


def test_rows_that_are_known_are_not_written_again() -> None:
    space = MemorySpace()
    filled(space, range(5))
    before = packs(space)
    filled(space, range(5))
    assert packs(space) == before


def test_two_writers_of_the_same_rows_make_one_pack() -> None:
    space = MemorySpace()
    first, second = opened(space), opened(space)
    fill(first, [1])
    fill(second, [1])
    first.close()
    second.close()
    assert len(packs(space)) == 1


def test_many_writers_at_once_lose_nothing() -> None:
    space, failures = MemorySpace(), list[str]()

    def write(first: int) -> None:
        for start in range(first, first + 40, 8):
            filled(space, range(start, start + 16), failures=failures, pack_rows=8)  # type: ignore[arg-type]

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 8, 100, 108)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    cache = opened(space)
    everything = [*range(56), *range(100, 156)]
    assert known(cache, everything) == everything
    cache.close()
    assert failures == []


def test_packs_are_bounded() -> None:
    space = MemorySpace()
    filled(space, range(10), pack_rows=4)
    assert len(packs(space)) == 3


def test_other_numerics_have_another_folder() -> None:
    assert cache_folder("extractor", {"threads": 1}) != FOLDER
    assert OTHER != FOLDER
    assert cache_folder("extractor", {"threads": 2}) == FOLDER
    space = MemorySpace()
    filled(space, range(3))
    assert known(opened(space, folder=OTHER), range(3)) == []


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 200, None])
def test_a_damaged_pack_is_passed_over_and_its_rows_are_made_again(damage: bytes | None) -> None:
    space, store = MemorySpace(), MemoryStore()
    store = MemoryStore(space)
    filled(space, range(5))
    (key,) = packs(space)
    whole = store.get(key)
    # None: the digests are whole, a feature is not.
    store.put(key, whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    cache = opened(space)
    assert cache.get(digest_of(2)) is None
    assert not cache.contains(digest_of(2))
    fill(cache, range(5))
    cache.close()
    assert store.get(key) == whole, "the same rows have the same name, and replace what is damaged"
    assert known(opened(space), range(5)) == list(range(5))


def test_a_damaged_pack_is_read_by_no_other_run() -> None:
    space = MemorySpace()
    filled(space, range(5))
    (key,) = packs(space)
    MemoryStore(space).put(key, MemoryStore(space).get(key)[:-1] + b"\x01")
    assert opened(space).get(digest_of(2)) is None
    assert packs(space) == []


def test_a_cache_that_cannot_be_reached_is_left_alone_and_said_once() -> None:
    class Denied(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            raise StoreDenied("no entry")

    failures: list[str] = []
    cache = FeatureCache(Denied, FOLDER, failures.append)
    assert not cache.contains(digest_of(1))
    fill(cache, [1])
    assert cache.get(digest_of(1)) is None
    cache.close()
    assert failures == ["no entry"]


def test_a_cache_that_takes_nothing_is_left_alone_and_said_once() -> None:
    space, failures = MemorySpace(), list[str]()

    class Away(MemoryStore):
        def put(self, key: str, data: bytes) -> None:
            raise StoreUnavailable("gone")

    cache = FeatureCache(lambda: Away(space), FOLDER, failures.append, pack_rows=2)
    fill(cache, range(9))
    cache.close()
    cache.close()
    assert failures == ["gone"]


def test_what_goes_wrong_in_its_thread_is_raised() -> None:
    space = MemorySpace()

    class Broken(MemoryStore):
        def put(self, key: str, data: bytes) -> None:
            raise ZeroDivisionError

    cache = FeatureCache(lambda: Broken(space), FOLDER, pytest.fail)
    fill(cache, [1])
    with pytest.raises(ZeroDivisionError):
        cache.close()


def test_stopped_it_keeps_nothing() -> None:
    space = MemorySpace()
    filled(space, [5])
    before = dict(space.values)
    cache = opened(space)
    fill(cache, [1])
    cache.stop()
    fill(cache, [2])
    assert known(cache, [1, 2, 5]) == []
    cache.close()
    assert dict(space.values) == before


def test_what_another_run_deletes_costs_rows_and_nothing_else() -> None:
    space, failures = MemorySpace(), list[str]()
    for start in range(0, 12, 4):
        filled(space, range(start, start + 4), pack_rows=4)
    cache = opened(space, failures, pack_rows=4)
    assert known(cache, [0]) == [0]
    clear(MemoryStore(space))
    assert known(cache, [8]) == []
    assert known(cache, range(12)) == [0, 1, 2, 3] or known(cache, range(12)) == []
    fill(cache, [8])
    cache.close()
    assert known(opened(space), [8]) == [8]
    assert failures == []


def test_rows_that_another_run_put_together_are_found_where_they_are() -> None:
    space = MemorySpace()
    for number in range(20):
        filled(space, [number])
    reader = opened(space)
    assert known(reader, [3]) == [3]
    before = packs(space)
    for number in range(20, 40):
        filled(space, [number])
    assert set(packs(space)).isdisjoint(before), "the small packs were put together"
    assert known(reader, range(20)) == list(range(20))
    reader.close()


def test_many_short_runs_leave_few_packs() -> None:
    space = MemorySpace()
    for number in range(70):
        filled(space, [2 * number, 2 * number + 1], pack_rows=64)
        assert len(packs(space)) <= 20
    assert known(opened(space), range(140)) == list(range(140))


def size_of(rows: int) -> int:
    """Bytes of a pack of so many rows, as stored."""
    space = MemorySpace()
    filled(space, range(rows))
    return look(MemoryStore(space)).size_bytes


@pytest.mark.parametrize("used", range(4))
def test_the_bound_is_kept_and_what_was_used_longest_ago_goes(used: int) -> None:
    space, size = MemorySpace(), size_of(4)
    for start in range(0, 16, 4):
        filled(space, range(start, start + 4), limit=4 * size)
    reader = opened(space, limit=4 * size)
    assert known(reader, [4 * used]) == [4 * used], "used again: not the oldest any more"
    reader.close()
    filled(space, range(100, 104), limit=4 * size)
    assert len(packs(space)) == 4
    oldest = 4 if used == 0 else 0
    assert known(opened(space), [0, 4, 8, 12, 100]) == [first for first in (0, 4, 8, 12, 100) if first != oldest]


def test_of_equally_old_ones_those_of_other_extractors_go_first() -> None:
    space, size = MemorySpace(), size_of(4)
    for start in range(0, 8, 4):
        filled(space, range(start, start + 4))
        filled(space, range(start, start + 4), folder=OTHER)
    for entry in look(MemoryStore(space)).marks:
        MemoryStore(space).delete(entry)
    filled(space, range(100, 104), limit=3 * size)
    assert known(opened(space), [0, 4, 100]) == [0, 4, 100]
    assert known(opened(space, folder=OTHER), [0, 4]) == []


def test_a_run_does_not_delete_what_it_uses_itself() -> None:
    space, size = MemorySpace(), size_of(4)
    told: list[str] = []
    cache = opened(space, limit=3 * size, pack_rows=4, full=told)
    fill(cache, range(12))
    assert told == []
    fill(cache, range(12, 40))
    cache.close()
    assert known(opened(space), range(40)) == list(range(12)), "the rest found no room"
    assert told == ["full"], "said once"
    cache = opened(space, limit=3 * size, pack_rows=4)
    assert known(cache, range(40)) == list(range(12))
    fill(cache, range(12, 40))
    cache.close()
    assert known(opened(space), range(40)) == list(range(12))
    # Another run needs none of them.
    filled(space, range(100, 108), limit=3 * size, pack_rows=4)
    assert known(opened(space), range(100, 108)) == list(range(100, 108))
    assert look(MemoryStore(space)).size_bytes <= 3 * size


def test_what_nobody_of_us_wrote_stays() -> None:
    space = MemorySpace()
    store = MemoryStore(space)
    foreign = {"features/readme.txt", f"{FOLDER}/notes", "other/thing", "features/used/mine"}
    for key in foreign:
        store.put(key, b"foreign")
    filled(space, range(4), limit=size_of(4))
    filled(space, range(4, 8), limit=size_of(4))
    assert known(opened(space), range(8)) == [4, 5, 6, 7]
    clear(store)
    assert set(space.values) == foreign
