"""What a file is known by without reading it: a stamp, which is another one once its bytes may be others.

    stamp = BLAKE2b, 16 bytes, of device, inode, size, time of the last write, time of the last change of any kind

The last of these no program can set, so two files, or two contents of one file, have the same stamp only if both came
to be within one tick of the disk's clock. Therefore a stamp says something of bytes that were read only if it is
settled, as git's index does it: the file had not been changed for `SETTLED_SECONDS` by then. Disks that count whole
milliseconds, or make up what they say of files from other facts (FAT, stores mounted as folders), have no stamps here.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from typing import IO, NamedTuple, Protocol, runtime_checkable

from mlsession.store.protocol import Store

STAMP_BYTES = 16
SETTLED_SECONDS = 10.0
"""Longer than any tick; the rest is for the clocks of disks in other machines."""
NO_STAMP = b""
_COARSEST_NS = 1_000_000
"""Times that are multiples of it are taken for those of a disk that knows no finer ones: one in a million others is."""


class Stamped(NamedTuple):
    """Bytes that were read, and what their file was known by."""

    data: bytes
    stamp: bytes
    """`NO_STAMP` if the file has none, or was changed while it was being read."""
    changed: float
    """When the file was changed last, in seconds since 1970 by the clock of its disk."""

    def settled(self, now: float) -> bytes:
        """The stamp, if it says something of the bytes once it is `now`; else `NO_STAMP`."""
        return self.stamp if self.changed + SETTLED_SECONDS < now else NO_STAMP


@runtime_checkable
class Stamps(Protocol):
    """A store that knows its files by stamps."""

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """What the file of each key is known by now; `NO_STAMP` where nothing is known, or there is none."""
        ...

    def get_stamped(self, key: str) -> Stamped:
        """As `Store.get`, with the stamp of what was read."""
        ...


def stamp_of(status: os.stat_result) -> bytes:
    """The stamp of a file, from what the system says of it."""
    # On Windows the third time is that of the file's making, which stays as it is when it is written to.
    if status.st_ctime_ns % _COARSEST_NS == 0 or not status.st_ino or os.name == "nt":
        return NO_STAMP
    facts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.blake2b(struct.pack("<2Q3q", *facts), digest_size=STAMP_BYTES).digest()


def stamp_at(path: str) -> bytes:
    """The stamp of the file at a path; `NO_STAMP` where there is none that may be read.

    It is opened for that: whoever may not read a file shall not know it, and NFS looks at its server then.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (of every image: a `Path` takes longer than this)
            return NO_STAMP
        file = os.open(path, os.O_RDONLY)
        try:
            return stamp_of(os.fstat(file))
        finally:
            os.close(file)
    except OSError:
        return NO_STAMP


def read_stamped(file: IO[bytes]) -> Stamped:
    """Reads an open file to its end. Raises `OSError`."""
    before = os.fstat(file.fileno())
    data = file.read()
    after = os.fstat(file.fileno())
    stamp = stamp_of(after)
    is_same = len(data) == after.st_size and stamp == stamp_of(before)
    return Stamped(
        data=data, stamp=stamp if is_same else NO_STAMP, changed=max(after.st_mtime_ns, after.st_ctime_ns) / 1e9
    )


def stamps(store: Store, keys: Sequence[str]) -> list[bytes]:
    """See `Stamps`; `NO_STAMP` from a store that knows none."""
    return store.stamps(keys) if isinstance(store, Stamps) else [NO_STAMP] * len(keys)


def get_stamped(store: Store, key: str) -> Stamped:
    """See `Stamps`; without a stamp from a store that knows none. Raises as `Store.get` does."""
    return store.get_stamped(key) if isinstance(store, Stamps) else Stamped(store.get(key), NO_STAMP, 0.0)
