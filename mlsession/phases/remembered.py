"""Images whose content is known without reading them, by the stamps of their files; reading one makes it known."""

from __future__ import annotations

from collections.abc import Sequence

from mlsession.cache.remembering import Memory
from mlsession.phases.corpus import StampedRows
from mlsession.phases.featured import Picture


class Remembered:
    """The rows of a source before a memory. `read` is for any thread; the rest belongs to one."""

    def __init__(self, memory: Memory, stamps: StampedRows) -> None:
        self._memory = memory
        self._stamps = stamps
        self._taken: dict[int, bytes] = {}
        """By row, the stamps of what was read and is not kept yet."""

    def digests(self, rows: range) -> list[bytes] | None:
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

    def forget(self, pictures: Sequence[Picture]) -> None:
        """Leaves them to be read again by the next session: what another process keeps it does not tell of files."""
        for picture in pictures:
            self._taken.pop(picture.row, None)

    def keep(self, pictures: Sequence[Picture]) -> None:
        """Remembers those that can be read: nobody goes by the content of the others."""
        for picture in pictures:
            stamp = self._taken.pop(picture.row, None)
            if stamp is not None and picture.is_readable:
                self._memory.note(stamp, picture.digest)
