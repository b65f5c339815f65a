"""Where sessions of a storm lie, and how the harness looks at them without slowing them down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlsession.errors import KeyMissing
from mlsession.store import Store, open_store
from mlsession.store.memory import MemoryStore
from tests.servers.latency import LatencyProxy
from tests.servers.s3 import S3Server

CALIBRATIONS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Folders for any number of sessions."""

    name: str
    root: str
    """A path or URL; each session gets a folder of its own below it, and its feature cache with it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """How children reach it."""
    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """How the harness does: without added latency."""
    far_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """How children do, as options."""

    def session_url(self, name: str) -> str:
        """A folder that nobody has used."""
        return f"{self.root}/{name}/session"

    def open(self, url: str) -> Store:
        """The harness's own handle on a session."""
        return open_store(url, self.storage_options)


class Mirror:
    """A copy of a session in memory, renewed with one listing and a read of each key that is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[str, bytes]] = {}

    def renewed(self) -> MemoryStore:
        """The session as it is now; of what is not part of its state only the names."""
        copy = MemoryStore()
        for entry in tuple(self._store.list()):
            version, data = self._known.get(entry.key, ("", b""))
            if version != entry.version and entry.key.startswith(("log/", "blobs/")):
                try:
                    data = self._store.get(entry.key)
                except KeyMissing:
                    continue  # Deleted since it was listed.
                self._known[entry.key] = (entry.version, data)
            copy.put(entry.key, data)
        return copy


def local_place(folder: Path) -> Place:
    """Folders of this machine."""
    return Place(name="local", root=str(folder))


@contextmanager
def s3_place(server: S3Server, latency_seconds: float) -> Iterator[Place]:
    """A new bucket of a real S3-protocol server on loopback, so much further away for children."""
    with LatencyProxy(server.endpoint_url, latency_seconds) as far:
        yield Place(
            name="s3",
            root=server.new_bucket_url(),
            environment={**server.environment, "FSSPEC_S3_ENDPOINT_URL": far.endpoint_url},
            storage_options=server.storage_options,
            far_options={**server.storage_options, "endpoint_url": far.endpoint_url},
        )


def calibrated(place: Place) -> dict[str, float]:
    """The median milliseconds of a small put, create and get of a child, through a connection that stands."""
    with closing(open_store(f"{place.root}/calibration", place.far_options)) as store:
        store.put("first", b"")
        calls: dict[str, Callable[[int], object]] = {
            "put": lambda number: store.put(f"put/{number}", b"0" * 500),
            "create": lambda number: store.put_if_absent(f"create/{number}", b"0" * 500),
            "get": lambda number: store.get(f"put/{number}"),
        }
        seconds = {name: [_seconds(call, number) for number in range(CALIBRATIONS)] for name, call in calls.items()}
        return {name: 1_000 * statistics.median(found) for name, found in seconds.items()}


def _seconds(call: Callable[[int], object], number: int) -> float:
    began = time.perf_counter()
    call(number)
    return time.perf_counter() - began
