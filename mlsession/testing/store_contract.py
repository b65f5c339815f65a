"""What every store must do, as tests: subclass `StoreContract` to hold your own store to it (needs pytest).

class TestMyStore(StoreContract):
    @pytest.fixture
    def open_handle(self, tmp_path):
        return lambda: MyStore(tmp_path)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeAlias

import pytest

from mlsession.errors import InvalidParameter, KeyExists, KeyMissing, StoreError, StoreUnavailable
from mlsession.store.probe import probe_exclusive
from mlsession.store.protocol import Entry, Store
from mlsession.testing.bulk_contract import BulkContract

OpenHandle: TypeAlias = Callable[[], Store]

NUM_WRITERS = 8

WRONG_KEYS = ("", "/a", "../a", "a/../../b", "a\x00b")
"""Keys that leave the root, or name nothing: refused for reading and writing."""

UNPORTABLE_KEYS = ("a//b", "a/", "./a", "a/.", "con", "log/NUL.json", "com1.txt", "a:b", "a?", "a*", "a.", "a ", "a\\b")
"""Keys that some disk or operating system cannot hold: refused for writing."""


class StoreContract(BulkContract):
    """The tests; `open_handle` is the one thing to give."""

    creates_exclusively: ClassVar[bool] = True
    """False for a store that cannot keep two creators apart; it must then say so to `probe_exclusive`."""
    num_rounds: ClassVar[int] = 20
    """How often the races are run."""

    @pytest.fixture
    def open_handle(self) -> OpenHandle:
        """Opens one more handle to the same place, which is empty when a test begins."""
        raise NotImplementedError("give the fixture open_handle in your subclass of StoreContract")

    @pytest.fixture
    def store(self, open_handle: OpenHandle) -> Iterator[Store]:
        """One handle to the empty place."""
        store = open_handle()
        yield store
        store.close()

    def test_put_then_get(self, store: Store) -> None:
        for number, data in enumerate((b"", b"\x00", b"text\r\n", bytes(range(256)) * 4096)):
            store.put(f"folder/{number}.bin", data)
            assert store.get(f"folder/{number}.bin") == data

    def test_put_replaces(self, store: Store) -> None:
        for data in (b"first", b"", b"a longer third value", b"4"):
            store.put("key", data)
            assert store.get("key") == data

    def test_every_range(self, store: Store) -> None:
        data = b"abcd"
        store.put("key", data)
        bounds = [(start, stop) for start in range(6) for stop in range(start, 7)]
        assert {pair: store.get_range("key", *pair) for pair in bounds} == {(a, b): data[a:b] for a, b in bounds}

    def test_range_of_an_empty_value(self, store: Store) -> None:
        store.put("key", b"")
        assert (store.get_range("key", 0, 10), store.get_range("key", 3, 4)) == (b"", b"")

    def test_a_wrong_range_is_refused(self, store: Store) -> None:
        store.put("key", b"abc")
        for start, stop in ((-1, 2), (2, 1), (-3, -1)):
            with pytest.raises(InvalidParameter):
                store.get_range("key", start, stop)

    def test_a_missing_key_is_named(self, store: Store) -> None:
        store.put("folder/key", b"abc")
        for missing in ("other", "folder/other", "folder/key/below"):
            for read in (store.get, lambda key: store.get_range(key, 0, 2), lambda key: store.get_range(key, 1, 1)):
                with pytest.raises(KeyMissing, match=missing) as caught:
                    read(missing)
                assert caught.value.key == missing
                assert isinstance(caught.value, FileNotFoundError)

    def test_a_key_is_created_once(self, store: Store) -> None:
        store.put_if_absent("log/0.json", b"first")
        with pytest.raises(KeyExists, match=r"log/0\.json") as caught:
            store.put_if_absent("log/0.json", b"second")
        assert caught.value.key == "log/0.json"
        assert isinstance(caught.value, FileExistsError)
        assert store.get("log/0.json") == b"first"

    def test_an_empty_value_is_created_once(self, store: Store) -> None:
        store.put_if_absent("key", b"")
        with pytest.raises(KeyExists):
            store.put_if_absent("key", b"second")
        assert store.get("key") == b""

    def test_put_and_put_if_absent_see_each_other(self, store: Store) -> None:
        store.put("a", b"put")
        with pytest.raises(KeyExists):
            store.put_if_absent("a", b"created")
        store.put_if_absent("b", b"created")
        store.put("b", b"put")
        assert (store.get("a"), store.get("b")) == (b"put", b"put")

    def test_a_deleted_key_can_be_created_again(self, store: Store) -> None:
        store.put_if_absent("key", b"first")
        store.delete("key")
        store.put_if_absent("key", b"second")
        assert store.get("key") == b"second"

    def test_a_fresh_place_is_empty(self, store: Store) -> None:
        assert list(store.list()) == []
        assert list(store.list("log")) == []

    def test_list_gives_every_key_below_a_folder(self, store: Store) -> None:
        sizes = {"top": 1, "log/0": 2, "log/1": 0, "log/deep/er/2": 4, "logs/3": 5, "log-4": 6}
        for key, size in sizes.items():
            store.put(key, b"x" * size)
        assert _sizes(store.list()) == sizes
        below = {key: size for key, size in sizes.items() if key.startswith("log/")}
        assert _sizes(store.list("log")) == below
        assert _sizes(store.list("log/")) == below
        assert _sizes(store.list("log/deep/er")) == {"log/deep/er/2": 4}
        assert _sizes(store.list("lo")) == {}
        assert _sizes(store.list("top")) == {}
        assert _sizes(store.list("top/below")) == {}

    def test_a_version_changes_with_the_bytes(self, store: Store) -> None:
        versions = set()
        for data in (b"aaaa", b"bbbb", b"cccc"):
            store.put("key", data)
            store.put("other", data)
            found = {entry.key: entry.version for entry in store.list()}
            again = {entry.key: entry.version for entry in store.list()}
            assert found == again
            versions.add(found["key"])
        assert len(versions) == 3

    def test_delete_removes_one_key(self, store: Store) -> None:
        for key in ("log/0", "log/1", "log-0"):
            store.put(key, b"x")
        store.delete("log/0")
        assert set(_sizes(store.list())) == {"log/1", "log-0"}
        with pytest.raises(KeyMissing):
            store.get("log/0")

    def test_deleting_what_is_missing_is_no_error(self, store: Store) -> None:
        store.delete("never/there")
        store.put("folder/key", b"x")
        store.delete("folder/other")
        store.delete("folder/key/below")
        assert _sizes(store.list()) == {"folder/key": 1}

    def test_a_folder_is_no_key(self, store: Store) -> None:
        store.put("folder/key", b"x")
        with pytest.raises(StoreError):
            store.get("folder")

    def test_a_key_outside_the_root_is_refused(self, store: Store) -> None:
        calls: tuple[Callable[[str], object], ...] = (
            store.get,
            lambda key: store.get_range(key, 0, 1),
            lambda key: store.put(key, b"x"),
            lambda key: store.put_if_absent(key, b"x"),
            store.delete,
            lambda key: list(store.list(key or "..")),
        )
        for key in WRONG_KEYS:
            for call in calls:
                with pytest.raises(InvalidParameter):
                    call(key)
        assert list(store.list()) == []

    def test_a_key_that_not_every_disk_can_hold_is_not_written(self, store: Store) -> None:
        for key in UNPORTABLE_KEYS:
            for write in (store.put, store.put_if_absent):
                with pytest.raises(InvalidParameter):
                    write(key, b"x")
        assert list(store.list()) == []

    def test_close_is_idempotent(self, open_handle: OpenHandle) -> None:
        store = open_handle()
        store.put("key", b"x")
        store.close()
        store.close()

    def test_handles_see_each_other_at_once(self, open_handle: OpenHandle) -> None:
        one, other = open_handle(), open_handle()
        assert one.url == other.url
        for number in range(3):
            assert len(list(other.list("log"))) == number
            one.put_if_absent(f"log/{number}", b"%d" % number)
            assert other.get(f"log/{number}") == b"%d" % number
            with pytest.raises(KeyExists):
                other.put_if_absent(f"log/{number}", b"late")
        other.delete("log/1")
        assert set(_sizes(one.list())) == {"log/0", "log/2"}
        one.close()
        other.close()

    def test_of_many_creators_one_wins(self, open_handle: OpenHandle) -> None:
        if not self.creates_exclusively:
            pytest.skip("this store does not promise it")
        handles = [open_handle() for _ in range(NUM_WRITERS)]
        barrier = threading.Barrier(NUM_WRITERS)

        def create(writer: int, key: str) -> str:
            barrier.wait()
            try:
                handles[writer].put_if_absent(key, _signed(writer))
            except KeyExists:
                return "lost"
            except StoreUnavailable:
                # Allowed by the protocol: two requests at one moment may both be told to come back later.
                return "unclear"
            return "won"

        with ThreadPoolExecutor(NUM_WRITERS) as pool:
            for number in range(self.num_rounds):
                key = f"race/{number}"
                outcomes = list(pool.map(create, range(NUM_WRITERS), [key] * NUM_WRITERS))
                stored = handles[0].get(key)
                winners = {_signed(writer) for writer, outcome in enumerate(outcomes) if outcome == "won"}
                unclear = {_signed(writer) for writer, outcome in enumerate(outcomes) if outcome == "unclear"}
                assert len(winners) == 1 or (not winners and unclear), outcomes
                assert stored in (winners or unclear)
        for handle in handles:
            handle.close()

    def test_a_reader_never_sees_a_part(self, open_handle: OpenHandle) -> None:
        writer, reader = open_handle(), open_handle()
        values = {bytes([letter]) * (50_000 + 20_000 * letter) for letter in range(1, 4)}
        writer.put("key", next(iter(values)))
        done = threading.Event()

        def overwrite() -> None:
            try:
                for _ in range(self.num_rounds):
                    for value in values:
                        writer.put("key", value)
            finally:
                done.set()

        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(overwrite)
            num_reads = 0
            while not done.is_set() or num_reads == 0:
                assert reader.get("key") in values
                assert {entry.key for entry in reader.list()} == {"key"}
                num_reads += 1
            written.result()
        writer.close()
        reader.close()

    def test_the_probe_tells_the_truth_and_leaves_nothing(self, store: Store) -> None:
        assert probe_exclusive(store, "token") is self.creates_exclusively
        assert list(store.list()) == []


def _sizes(entries: Iterator[Entry]) -> dict[str, int]:
    """Keys and sizes of a listing, each key once."""
    listed = list(entries)
    sizes = {entry.key: entry.size for entry in listed}
    assert len(sizes) == len(listed), "a key was listed twice"
    return sizes


def _signed(writer: int) -> bytes:
    return f"writer {writer} ".encode() * 500
