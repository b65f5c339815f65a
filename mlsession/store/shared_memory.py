"""`memory://`: fsspec's own memory filesystem, which is one dictionary for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mlsession.errors import StoreError
from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.keys import check_read_key
from mlsession.store.ranges import check_range

# fsspec looks whether a name is taken and then writes it. Its dictionary belongs to the process, so does the lock
# that makes the two one step.
_PROCESS_LOCK = threading.Lock()


class SharedMemoryStore(FsspecStore):
    """Keys below one path of fsspec's memory filesystem: seen by all of this process, and gone with it."""

    @property
    def creates_exclusively(self) -> bool:
        return True

    def get(self, key: str) -> bytes:
        check_read_key(key)
        with self._reporting(key):
            path = self._open._strip_protocol(self._path(key))
            if path not in self._open.store:
                raise FileNotFoundError(path)
            # Opening it would move a cursor that all readers share.
            return bytes(self._open.store[path].getvalue())

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        return self.get(key)[start:stop]

    def put(self, key: str, data: bytes) -> None:
        with _PROCESS_LOCK:
            self._check_folders(key)
            super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> None:
        with _PROCESS_LOCK:
            self._check_folders(key)
            super().put_if_absent(key, data)

    def _version(self, info: Mapping[str, object]) -> str:
        file = self._open.store.get(info["name"])
        # Two writes within one tick of the clock are told apart by the object that holds them.
        return f"{super()._version(info)}:{getattr(file, 'modified', '')}:{id(file):x}"

    def _check_folders(self, key: str) -> None:
        """fsspec calls a file in the place of a folder "exists already", which here means something else."""
        parts = key.split("/")[:-1]
        for depth in range(len(parts)):
            folder = "/".join(parts[: depth + 1])
            if self._open.isfile(self._path(folder)):
                raise StoreError(f"{self.url}: {folder} is a file, so {key} cannot be below it", key)
