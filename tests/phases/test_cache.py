"""The feature cache: rows by content, packs by hash, and no harm done when it fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from mlsession.errors import StoreDenied
from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.store import Entry, MemorySpace, MemoryStore

FOLDER = cache_folder("extractor", {"threads": 2})


def digest_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def row_of(number: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(7, number, dtype=np.float32)


def opened(space: MemorySpace, failures: list[str] | None = None) -> FeatureCache:
    heard = [] if failures is None else failures
    return FeatureCache(lambda: MemoryStore(space), FOLDER, heard.append)


def filled(space: MemorySpace, numbers: range) -> None:
    cache = opened(space)
    for number in numbers:
        cache.add(digest_of(number), row_of(number))
    cache.close()


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
        assert row.tolist() == [number] * 7
    cache.close()


def test_rows_that_are_known_are_not_written_again() -> None:
    space = MemorySpace()
    filled(space, range(5))
    before = dict(space.values)
    filled(space, range(5))
    assert dict(space.values) == before


def test_two_writers_of_the_same_rows_make_one_pack() -> None:
    space = MemorySpace()
    first, second = opened(space), opened(space)
    for cache in (first, second):
        cache.add(digest_of(1), row_of(1))
    first.close()
    second.close()
    assert len(space.values) == 1


def test_packs_are_bounded() -> None:
    space = MemorySpace()
    cache = FeatureCache(lambda: MemoryStore(space), FOLDER, lambda reason: None, pack_rows=4)
    for number in range(10):
        cache.add(digest_of(number), row_of(number))
    assert len(space.values) == 2
    cache.close()
    assert len(space.values) == 3


def test_other_numerics_have_another_folder() -> None:
    assert cache_folder("extractor", {"threads": 1}) != FOLDER
    assert cache_folder("other", {"threads": 2}) != FOLDER
    assert cache_folder("extractor", {"threads": 2}) == FOLDER


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 200, None])
def test_a_damaged_pack_is_passed_over_and_its_rows_are_made_again(damage: bytes | None) -> None:
    space = MemorySpace()
    filled(space, range(5))
    (key,) = space.values
    data = MemoryStore(space).get(key)
    # None: the digests are whole, a feature is not.
    MemoryStore(space).put(key, data[:-1] + bytes([data[-1] ^ 1]) if damage is None else damage)
    cache = opened(space)
    assert cache.get(digest_of(2)) is None
    assert not cache.contains(digest_of(2))
    cache.add(digest_of(2), row_of(2))
    cache.close()
    again = opened(space)
    row = again.get(digest_of(2))
    assert row is not None
    assert row.tolist() == [2] * 7


def test_a_cache_that_cannot_be_reached_is_left_alone_and_said_once() -> None:
    class Denied(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            raise StoreDenied("no entry")

    failures: list[str] = []
    cache = FeatureCache(Denied, FOLDER, failures.append)
    assert not cache.contains(digest_of(1))
    cache.add(digest_of(1), row_of(1))
    assert cache.get(digest_of(1)) is None
    cache.close()
    assert failures == ["no entry"]


def test_stopped_it_keeps_nothing() -> None:
    space = MemorySpace()
    cache = opened(space)
    cache.add(digest_of(1), row_of(1))
    cache.stop()
    cache.add(digest_of(2), row_of(2))
    cache.close()
    assert not space.values
