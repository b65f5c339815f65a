"""The system calls by which files are written, one of which fails: what a disk that is full, or refuses, does.

Replaces functions of `os` and `io`, not ours: each call below one folder counts, whichever thread makes it.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OWN_TIME = ("heartbeat", "control")
"""Folders that the heartbeat's thread writes to when it likes: its calls fail with the others, and do not count."""
CALLS = ("mkdir", "link", "replace")
"""Besides open, write, fsync, and opening a folder to sync it."""


class Disk:
    """Counts the calls that change what is below `root`, and makes one of them fail, or it and all that follow.

    `fails_at` counts from 1; 0 lets all succeed. What a full disk cannot refuse, removing files, never fails.
    """

    def __init__(self, root: Path, fails_at: int = 0, number: int = errno.ENOSPC, *, stays: bool = True) -> None:
        self._root = str(root)
        self._fails_at = fails_at
        self._number = number
        self._stays = stays
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self.failed = 0

    @property
    def is_broken(self) -> bool:
        """Whether it refuses everything by now."""
        return bool(self._fails_at) and self._stays and len(self.calls) >= self._fails_at

    def take(self, name: str, path: str) -> None:
        """Counts one call. Raises `OSError` where it is to fail."""
        if not path.startswith(self._root):
            return
        with self._lock:
            if path.removeprefix(f"{self._root}/").split("/")[0] in OWN_TIME:
                fails = self.is_broken
            else:
                self.calls.append(name)
                fails = self.is_broken or len(self.calls) == self._fails_at
            self.failed += fails
        if fails:
            raise OSError(self._number, os.strerror(self._number), path)


class _CountedFile(io.FileIO):
    """A file whose writes count; one that fails has written half of its bytes by then, as a full disk does."""

    def __init__(self, path: str, mode: str, disk: Disk) -> None:
        super().__init__(path, mode)
        self._path = path
        self._disk = disk

    def write(self, data: Any) -> int:
        try:
            self._disk.take("write", self._path)
        except OSError:
            super().write(bytes(data)[: len(data) // 2])
            raise
        return super().write(data) or 0


@contextmanager
def breaking(disk: Disk) -> Iterator[None]:
    """While the block runs, calls of this process go through `disk`."""
    plain_open, plain_io_open, plain_fsync = os.open, io.open, os.fsync

    def counted(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *others: Any, **options: Any) -> Any:
            # Of two names the last is the one that is made.
            disk.take(name, str(others[0]) if others and name != "mkdir" else str(path))
            return plain(path, *others, **options)

        return call

    def io_open(file: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("xwa"):
            return plain_io_open(file, mode, *others, **options)
        disk.take("open", str(file))
        return io.BufferedWriter(_CountedFile(str(file), mode.replace("b", ""), disk))

    def fsync(descriptor: int) -> None:
        disk.take("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        plain_fsync(descriptor)

    def open_folder(path: Any, flags: int, *others: Any, **options: Any) -> int:
        if flags & os.O_DIRECTORY:
            disk.take("open folder", str(path))
        return plain_open(path, flags, *others, **options)

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        patch.setattr(io, "open", io_open)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "open", open_folder)
        yield
