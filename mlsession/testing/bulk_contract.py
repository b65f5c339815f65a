"""What `mlsession.store.bulk` must do with every store, as tests; a part of `StoreContract`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mlsession.store.bulk import delete_some, get_many, list_page, list_part, parts_from, put_file, put_many
from mlsession.store.protocol import Store


class BulkContract:
    """The tests; the fixture `store` is an empty one."""

    def test_several_values_at_once(self, store: Store) -> None:
        for key, data in (("a", b"first"), ("folder/b", b""), ("folder/c", b"third")):
            store.put(key, data)
        limits = {"folder/c": 2, "none": 5, "a": 100, "folder/b": 3, "folder/none": 1}
        assert get_many(store, limits) == {"folder/c": b"th", "a": b"first", "folder/b": b""}
        assert get_many(store, {}) == {}
        assert get_many(store, {"folder/c": 9}) == {"folder/c": b"third"}
        assert get_many(store, {"none": 9}) == {}

    def test_several_values_sent_at_once(self, store: Store) -> None:
        store.put("folder/b", b"old")
        for values in ({}, {"one": b"alone"}, {"a": b"first", "folder/b": b"", "folder/c": bytes(70_000)}):
            put_many(store, values)
            assert get_many(store, dict.fromkeys(values, 10**6)) == values
        assert sorted(entry.key for entry in store.list()) == ["a", "folder/b", "folder/c", "one"]

    def test_a_value_out_of_a_file(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "value.bin"
        for size in (3, 0, 70_000):
            file.write_bytes(bytes(range(250)) * (size // 250) + b"x" * (size % 250))
            put_file(store, "folder/v.bin", file)
            assert store.get("folder/v.bin") == file.read_bytes()
        assert [entry.key for entry in store.list()] == ["folder/v.bin"]

    def test_several_deletions_at_once(self, store: Store) -> None:
        for key in ("a", "folder/b", "folder/c", "folder/d"):
            store.put(key, b"data")
        keys = ["folder/b", "folder/none", "folder/d", "a"]
        while keys:
            del keys[: delete_some(store, keys)]
        assert [entry.key for entry in store.list()] == ["folder/c"]

    def test_pages_of_a_listing(self, store: Store) -> None:
        for key in ("log/10", "log/2", "log/below/1", "log/3", "lo", "log-book", "other/5"):
            store.put(key, key.encode())
        page = list_page(store, "log", "", 3)
        if page is None:
            return  # It lists everything or nothing; nobody counts on more.
        assert list(page) == sorted((entry for entry in store.list("log")), key=lambda entry: entry.key)[:3]
        assert [entry.key for entry in page] == ["log/10", "log/2", "log/3"]
        for after, keys in (("log/2", ["log/3", "log/below/1"]), ("log/3x", ["log/below/1"]), ("log/c", [])):
            assert [entry.key for entry in list_page(store, "log", after, 9) or ()] == keys
        assert [entry.key for entry in list_page(store, "", "log/3", 2) or ()] == ["log/below/1", "other/5"]
        assert list_page(store, "nothing", "", 2) == ()

    def test_parts_of_a_listing(self, store: Store) -> None:
        for key in ("log/10", "log/below/1", "lo", "log-book", "other/5"):
            store.put(key, key.encode())
        for prefix in ("", "log", "nothing"):
            first = list_part(store, prefix, "")
            if first is None:
                return  # It lists everything or nothing.
            entries = list(parts_from(first, partial(list_part, store, prefix), store.url))
            assert len(entries) == {"": 5, "log": 2}.get(prefix, 0)
            assert set(entries) == set(store.list(prefix))
