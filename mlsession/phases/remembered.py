"""Images whose content is known without reading them, by the stamps of their files; reading one makes it known."""

from __future__ import annotations

from collections.abc import Sequence

from mlsession.cache.remembering import Memory
from mlsession.phases.featured import Picture
from mlsession.phases.listed import StampedRows
from mlsession.store.stamps import NO_STAMP


class Remembered:
    """The rows of a source before a memory. `read` and `taken` are for any thread; the rest belongs to one."""

    def __init__(self, memory: Memory, stamps: StampedRows) -> None:
        self._memory = memory
        self._stamps = stamps
        self._taken: dict[int, bytes] = {}
        """By row, the stamps of what was read and is not worked on yet."""

    def digests(self, rows: Sequence[int]) -> list[bytes] | None:
        """The SHA-256 of the bytes that reading these rows would give; None unless all are known."""
        if self._memory.is_empty:
            return None
        found = self._memory.digests(self._stamps.stamps_of(rows))
        return None if found is None else [digest.tobytes() for digest in found]

    def read(self, row: int) -> bytes:
        """The bytes of an image. Raises what reading it raises."""
        data, stamp = self._stamps.stamped(row)
        if stamp:
            self._taken[row] = stamp
        return data

    def taken(self, row: int) -> bytes:
        """The stamp that stands for what was read last of a row: once, empty for none."""
        return self._taken.pop(row, NO_STAMP)


def remember(memory: Memory, pictures: Sequence[Picture]) -> None:
    """Notes what the files of pictures hold that can be read: nobody goes by the content of the others."""
    for picture in pictures:
        if picture.stamp and picture.is_readable:
            memory.note(picture.stamp, picture.digest)
