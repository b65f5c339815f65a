from __future__ import annotations

import uuid

import fsspec
import pytest

from mlsession.errors import KeyExists, StoreError
from mlsession.store import open_store


def test_it_is_the_memory_of_fsspec() -> None:
    name = str(uuid.uuid4())
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file(f"/{name}/cats/1.jpg", b"one")
    store = open_store(f"memory://{name}")
    assert store.get("cats/1.jpg") == b"one"
    store.put("cats/2.jpg", b"two")
    assert filesystem.cat_file(f"/{name}/cats/2.jpg") == b"two"
    whole = open_store("memory://")
    assert whole.get(f"{name}/cats/2.jpg") == b"two"
    assert {f"{name}/cats/1.jpg", f"{name}/cats/2.jpg"} <= {entry.key for entry in whole.list()}
    assert {entry.key for entry in whole.list(name)} == {f"{name}/cats/1.jpg", f"{name}/cats/2.jpg"}
    assert (store.url, whole.url) == (f"memory://{name}", "memory://")


def test_reading_moves_no_shared_cursor() -> None:
    name = str(uuid.uuid4())
    store = open_store(f"memory://{name}")
    store.put("key", b"abcdef")
    with fsspec.filesystem("memory").open(f"/{name}/key", "rb") as file:
        assert file.read(2) == b"ab"
        assert store.get("key") == b"abcdef"
        assert store.get_range("key", 4, 9) == b"ef"
        assert file.read(2) == b"cd"


def test_a_file_in_the_place_of_a_folder_is_named() -> None:
    store = open_store(f"memory://{uuid.uuid4()}")
    store.put("log", b"x")
    for write in (store.put, store.put_if_absent):
        with pytest.raises(StoreError, match="log is a file") as caught:
            write("log/0", b"x")
        assert not isinstance(caught.value, KeyExists)
