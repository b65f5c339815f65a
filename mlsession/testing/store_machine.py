"""A store against a dictionary, by random sequences of calls (needs hypothesis).

class MyMachine(StoreMachine):
    def open_space(self):
        folder = tempfile.mkdtemp()
        return lambda: MyStore(folder)

TestMyStore = MyMachine.TestCase
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlsession.errors import KeyExists, KeyMissing
from mlsession.store.protocol import Store

KEYS = ("a", "b", "log/0", "log/1", "log/deep/2", "logs", "blobs/0/x.y-z_1")
FOLDERS = ("", "log", "log/", "log/deep", "blobs", "blobs/0", "missing", "a")

keys = st.sampled_from(KEYS)
values = st.binary(max_size=40)


class StoreMachine(RuleBasedStateMachine):
    """Every call on the store, and what a dictionary says it must give; `open_space` is the one thing to give."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        self.store: Store | None = None

    def open_space(self) -> Callable[[], Store]:
        """An empty place of its own for this machine: what opens one more handle to it."""
        raise NotImplementedError("give open_space in your subclass of StoreMachine")

    @initialize()
    def open(self) -> None:
        self.open_handle = self.open_space()
        self.store = self.open_handle()

    @rule()
    def reopen(self) -> None:
        self.opened.close()
        self.store = self.open_handle()

    @rule(key=keys, data=values)
    def put(self, key: str, data: bytes) -> None:
        self.opened.put(key, data)
        self.model[key] = data
        self.versions.pop(key, None)

    @rule(key=keys, data=values)
    def put_if_absent(self, key: str, data: bytes) -> None:
        if key in self.model:
            with pytest.raises(KeyExists):
                self.opened.put_if_absent(key, data)
        else:
            self.opened.put_if_absent(key, data)
            self.model[key] = data

    @rule(key=keys)
    def get(self, key: str) -> None:
        if key in self.model:
            assert self.opened.get(key) == self.model[key]
        else:
            with pytest.raises(KeyMissing):
                self.opened.get(key)

    @rule(key=keys, start=st.integers(0, 45), length=st.integers(0, 45))
    def get_range(self, key: str, start: int, length: int) -> None:
        if key in self.model:
            assert self.opened.get_range(key, start, start + length) == self.model[key][start : start + length]
        else:
            with pytest.raises(KeyMissing):
                self.opened.get_range(key, start, start + length)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.opened.delete(key)
        self.model.pop(key, None)
        self.versions.pop(key, None)

    @rule(folder=st.sampled_from(FOLDERS))
    def list(self, folder: str) -> None:
        start = f"{folder.rstrip('/')}/" if folder else ""
        entries = [(entry.key, entry.size) for entry in self.opened.list(folder)]
        assert sorted(entries) == sorted((k, len(v)) for k, v in self.model.items() if k.startswith(start))

    @invariant()
    def versions_of_unchanged_keys_stay(self) -> None:
        if self.store is None:
            return
        listed = {entry.key: entry.version for entry in self.store.list()}
        assert set(listed) == set(self.model)
        assert {key: listed[key] for key in self.versions} == self.versions
        self.versions = listed

    @property
    def opened(self) -> Store:
        assert self.store is not None
        return self.store

    def teardown(self) -> None:
        if self.store is not None:
            self.store.close()
