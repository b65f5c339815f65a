"""The images of one source by row: what they hold, and by what their files are known without reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mlsession.errors import KeyMissing, ModifiedTrainingData
from mlsession.store.stamps import NO_STAMP

T = TypeVar("T")
_CURE = "put it back, or start a new session folder"


class Stamping(Protocol):
    """What knows the images of a source by stamps (see `mlsession.store.stamps`), by key."""

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """What the files of images are known by now; empty where nothing is known."""
        ...

    def read_stamped(self, key: str) -> tuple[bytes, bytes]:
        """The bytes of an image, and the stamp that stands for them; empty for none."""
        ...


class StampedRows(Protocol):
    """The same by row."""

    def stamps_of(self, rows: Sequence[int]) -> list[bytes]:
        """Of rows that ascend."""
        ...

    def stamped(self, row: int) -> tuple[bytes, bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImages:
    """The images of an index, by row."""

    keys: Sequence[str]
    read: Callable[[str], bytes]
    """The bytes of a key; called from several threads."""
    is_shared: Callable[[], bool] | None = None
    """Whether many reads at once cost no more than few, see `worked_batches`; None: they do."""
    stamping: Stamping | None = None
    """None where images are known by their bytes alone."""
    what: str = "training data"
    """What they are, in messages."""
    cure: str = _CURE
    """What to do about one that is gone."""

    def bytes_of(self, row: int) -> bytes:
        """The bytes of an image.

        Raises `ModifiedTrainingData` for one that the index has and the source has not any more.
        """
        return self._read(row, self.read)

    def stamps_of(self, rows: Sequence[int]) -> list[bytes]:
        """What the files of images are known by now; empty where nothing is known."""
        if self.stamping is None or not rows:
            return [NO_STAMP] * len(rows)
        return self.stamping.stamps([self.keys[row] for row in rows])

    def stamped(self, row: int) -> tuple[bytes, bytes]:
        """The bytes of an image, and the stamp that stands for them, empty for none. Raises as `bytes_of` does."""
        return (self.bytes_of(row), NO_STAMP) if self.stamping is None else self._read(row, self.stamping.read_stamped)

    def _read(self, row: int, read: Callable[[str], T]) -> T:
        key = self.keys[row]
        try:
            return read(key)
        except KeyMissing as error:
            raise ModifiedTrainingData((), (key,), (), (), self.cure, self.what) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeImages:
    """Some images of a list, by their place among these."""

    images: ListedImages
    rows: Sequence[int]
    """Which ones; they ascend."""

    def key(self, place: int) -> str:
        """The key of one."""
        return self.images.keys[self.rows[place]]

    def bytes_of(self, place: int) -> bytes:
        """As of the list."""
        return self.images.bytes_of(self.rows[place])

    def stamps_of(self, places: Sequence[int]) -> list[bytes]:
        """As of the list."""
        return self.images.stamps_of([self.rows[place] for place in places])

    def stamped(self, place: int) -> tuple[bytes, bytes]:
        """As of the list."""
        return self.images.stamped(self.rows[place])
