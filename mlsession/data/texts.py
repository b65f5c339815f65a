"""A column of texts in one piece of memory: a million of them take what their letters take, and numpy works on all."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
import numpy.typing as npt

from mlsession.errors import InternalError

ROWS_AT_ONCE = 65_536
"""Rows that are worked on together: bounds what a step takes beside the column itself."""
_TEXTS_AT_ONCE = 4_096


class Texts(Sequence[str]):
    """Texts by row, UTF-8; equal to any sequence that has the same. Never changes."""

    __slots__ = ("_data", "_offsets")

    def __init__(self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        """Row r is `data[offsets[r] : offsets[r + 1]]`: uint8 [B], UTF-8 row by row, and int64 [N + 1], ascending."""
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) < 0).any():
            raise InternalError("texts: the offsets do not fit the data")
        self._data, self._offsets = data, offsets
        data.setflags(write=False)
        offsets.setflags(write=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """A column of these texts. Raises `UnicodeEncodeError` for one with half a character."""
        if isinstance(texts, Texts):
            return texts
        made = TextsBuilder()
        for text in texts:
            made.add(text)
        return made.texts()

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """uint8 [B]: all of them, one after the other."""
        return self._data

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """int64 [N + 1]: where each row begins, and the last ends."""
        return self._offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Texts: ...

    def __getitem__(self, row: int | slice) -> str | Texts:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            stop = max(start, stop)
            offsets = self._offsets[start : stop + 1]
            return Texts(self._data[offsets[0] : offsets[-1]], offsets - offsets[0])
        place = row + len(self) if row < 0 else row
        if not 0 <= place < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self._data[self._offsets[place] : self._offsets[place + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _TEXTS_AT_ONCE):
            offsets = self._offsets[start : start + _TEXTS_AT_ONCE + 1]
            data, places = self._data[offsets[0] : offsets[-1]].tobytes(), (offsets - offsets[0]).tolist()
            for first, last in pairwise(places):
                yield data[first:last].decode()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return np.array_equal(self._offsets, other._offsets) and np.array_equal(self._data, other._data)
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:5])
        return f"Texts({len(self)}: {shown}{', ...' if len(self) > 5 else ''})"

    def take(self, rows: npt.NDArray[np.int64]) -> Texts:
        """Some of the rows, in that order."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(np.diff(self._offsets)[rows], out=offsets[1:])
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            data[offsets[start] : offsets[start + len(some)]] = self._bytes_of(some)
        return Texts(data, offsets)

    def differs_from(self, other: Texts) -> npt.NDArray[np.bool_]:
        """bool [N]: which rows are another text in `other`, which has as many."""
        if self == other:
            return np.zeros(len(self), dtype=np.bool_)
        lengths = np.diff(self._offsets)
        differs: npt.NDArray[np.bool_] = lengths != np.diff(other._offsets)
        for start in range(0, len(self), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            rows = start + np.flatnonzero(~differs[block] & (lengths[block] > 0))
            if len(rows):
                unlike = self._bytes_of(rows) != other._bytes_of(rows)
                firsts = np.cumsum(lengths[rows]) - lengths[rows]
                differs[rows] = np.logical_or.reduceat(unlike, firsts)
        return differs

    def is_ascending(self) -> bool:
        """Whether each row comes after the one before it, by code points (as UTF-8 bytes do), none twice."""
        padded = np.concatenate([self._data, np.zeros(8, dtype=np.uint8)])
        # Eight bytes from any place on, as one number that sorts as they do.
        words = np.ndarray(len(padded) - 7, dtype=">u8", buffer=padded, strides=(1,))
        for start in range(0, len(self) - 1, ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, len(self) - 1))
            at = 0
            while len(rows):
                first, second = self._words_of(words, rows, at), self._words_of(words, rows + 1, at)
                if (first > second).any():
                    return False
                rows, at = rows[first == second], at + 8
                ends = self._offsets[rows + 1] - self._offsets[rows] <= at
                if not self._is_longer(rows[ends]):
                    return False
                rows = rows[~ends]
        return True

    def _is_longer(self, rows: npt.NDArray[np.int64]) -> bool:
        """Whether what follows each of the rows, and begins with it, goes on after it."""
        lengths = self._offsets[1:] - self._offsets[:-1]
        return bool((lengths[rows + 1] > lengths[rows]).all())

    def _words_of(self, words: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64], at: int) -> npt.NDArray[np.uint64]:
        """uint64 [n]: the bytes `at` to `at + 8` of rows, zeros behind their end."""
        starts = np.minimum(self._offsets[rows] + at, len(words) - 1)
        left = np.clip(self._offsets[rows + 1] - starts, 0, 8).astype(np.uint64)
        kept = np.where(left == 0, 0, np.uint64(2**64 - 1) << (np.uint64(8) * (np.uint64(8) - np.maximum(left, 1))))
        taken: npt.NDArray[np.uint64] = words[starts].astype(np.uint64) & kept.astype(np.uint64)
        return taken

    def _bytes_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The bytes of rows, one after the other."""
        starts, lengths = self._offsets[rows], self._offsets[rows + 1] - self._offsets[rows]
        ends = np.cumsum(lengths)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        data: npt.NDArray[np.uint8] = self._data[places]
        return data


class TextsBuilder:
    """A column in the making, which takes little more room than it will have."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._lengths = array("q", [0])
        self._some: list[str] = []

    def add(self, text: str) -> None:
        """Appends a row."""
        self._some.append(text)
        if len(self._some) == _TEXTS_AT_ONCE:
            self._pack()

    def texts(self) -> Texts:
        """The rows so far, handed over: the next ones begin another column.

        Raises `UnicodeEncodeError` for one with half a character, as `add` may.
        """
        self._pack()
        data, lengths = self._data, self._lengths
        self._data, self._lengths = bytearray(), array("q", [0])
        return Texts(np.frombuffer(data, dtype=np.uint8), np.cumsum(np.frombuffer(lengths, dtype=np.int64)))

    def _pack(self) -> None:
        encoded = [text.encode() for text in self._some]
        self._some.clear()
        self._data += b"".join(encoded)
        self._lengths.extend(map(len, encoded))
