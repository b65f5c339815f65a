"""Stores that count, fail, crash, lose replies and hang, around a memory store; for tests of the engine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

from mlsession.errors import KeyMissing, StoreUnavailable
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Entry, Store

BEST_EFFORT = ("heartbeat/", "control/")
"""Written and read by the heartbeat's thread, at moments that no test can foresee."""


class WrappedStore:
    """Passes everything on, each call through `around(operation, key, call)`."""

    def __init__(self, store: Store) -> None:
        self.inner = store

    @property
    def url(self) -> str:
        return self.inner.url

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        """What happens for one call; by default just that."""
        return call()

    def get(self, key: str) -> bytes:
        data = self.around("get", key, lambda: self.inner.get(key))
        assert isinstance(data, bytes)
        return data

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        data = self.around("get", key, lambda: self.inner.get_range(key, start, stop))
        assert isinstance(data, bytes)
        return data

    def put(self, key: str, data: bytes) -> None:
        self.around("put", key, lambda: self.inner.put(key, data))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.around("create", key, lambda: self.inner.put_if_absent(key, data))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        found: list[Entry] = []
        self.around("list", prefix, lambda: found.extend(self.inner.list(prefix)))
        return iter(found)

    def delete(self, key: str) -> None:
        self.around("delete", key, lambda: self.inner.delete(key))

    def close(self) -> None:
        self.inner.close()


class CountingStore(WrappedStore):
    """Counts its calls by operation."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: Counter[str] = Counter()
        self.deleted: list[str] = []

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        self.calls[operation] += 1
        if operation == "delete":
            self.deleted.append(key)
        return call()


class Crash(BaseException):
    """The process is gone: nothing in the package catches this."""


class Fate:
    """When a process dies: at its mutating store call `at` (from 1), just before the call or just after it."""

    def __init__(self, at: int, after: bool) -> None:
        self.at = at
        self.after = after
        self.calls = 0
        self.dead = False
        self.lock = threading.Lock()


class MortalStore(WrappedStore):
    """One handle of a process with a `Fate` that all its handles share; a dead process changes nothing."""

    def __init__(self, space: MemorySpace, fate: Fate) -> None:
        super().__init__(MemoryStore(space))
        self._fate = fate

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        fate = self._fate
        with fate.lock:
            if key.startswith(BEST_EFFORT):
                if fate.dead:
                    raise KeyMissing(f"{key}: this process is dead", key)
                return call()
            if fate.dead:
                raise Crash
            if operation not in ("put", "create", "delete"):
                return call()
            fate.calls += 1
            if fate.calls != fate.at:
                return call()
            fate.dead = True
            if fate.after:
                call()
            raise Crash


class LostReplyStore(WrappedStore):
    """Does what it is asked, and says that it did not answer: the first time for each key that `loses` holds."""

    def __init__(self, store: Store, loses: Callable[[str], bool]) -> None:
        super().__init__(store)
        self._loses = loses
        self.lost: list[str] = []

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        result = call()
        if operation == "create" and self._loses(key) and key not in self.lost:
            self.lost.append(key)
            raise StoreUnavailable("the reply was lost", key)
        return result


class HookedStore(WrappedStore):
    """Calls `before(operation, key)` ahead of each call; what that raises is what the call raises."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        super().__init__(store)
        self._before = before

    def around(self, operation: str, key: str, call: Callable[[], object]) -> object:
        self._before(operation, key)
        return call()
