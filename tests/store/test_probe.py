from __future__ import annotations

import pytest

from mlsession.errors import KeyExists, StoreDenied, StoreError
from mlsession.store import MemorySpace, MemoryStore, probe_exclusive


class Overwriting(MemoryStore):
    """A server that ignores the condition, as old S3 imitations do."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.put(key, data)


class Complaining(MemoryStore):
    """A server that writes first and complains afterwards."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        exists = key in self.space.values
        self.put(key, data)
        if exists:
            raise KeyExists(f"{key} exists already", key)


class Looking(MemoryStore):
    """A client that looks before it writes, and says so."""

    creates_exclusively = False


class LosingReplies(MemoryStore):
    """A client whose first request got through, whose reply was lost, and whose second try met its own success."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        super().put_if_absent(key, data)
        super().put_if_absent(key, data)


class Keeping(MemoryStore):
    """A bucket whose rules forbid removing."""

    def delete(self, key: str) -> None:
        raise StoreDenied(f"{key} may not be removed", key)


@pytest.mark.parametrize(
    ("kind", "exclusive"),
    [(MemoryStore, True), (Overwriting, False), (Complaining, False), (Looking, False), (LosingReplies, True)],
)
def test_the_probe_sees_through_it(kind: type[MemoryStore], exclusive: bool) -> None:
    store = kind()
    assert probe_exclusive(store, "token") is exclusive
    assert list(store.list()) == []


def test_a_store_that_forbids_removing_can_be_probed() -> None:
    store = Keeping()
    assert probe_exclusive(store, "token")
    assert [entry.key for entry in store.list()] == ["probe/token"]


def test_a_used_token_is_no_verdict() -> None:
    space = MemorySpace()
    MemoryStore(space).put("probe/token", b"of somebody else")
    with pytest.raises(StoreError, match="new token"):
        probe_exclusive(MemoryStore(space), "token")
