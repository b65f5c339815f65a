"""Numbers by SHA-256 in 48 bytes an entry: a Python dictionary takes five times that, and looks up one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 32
_AT_ONCE = 65_536
"""Digests that are looked up together: bounds what it takes beside the map."""


def content_numbers(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """int64 [n]: the first 64 bits of digests uint8 [n, 32].

    Of a million contents two others have the same number with a chance of 1 in 30 million.
    """
    return np.ascontiguousarray(digests[:, :8]).view("<i8").ravel().astype(np.int64)


class DigestMap(Mapping[bytes, int]):
    """A mapping from digests, 32 bytes each, to whole numbers; never changes, ascends by digest."""

    def __init__(self, digests: npt.NDArray[np.uint8], values: npt.NDArray[np.int64] | None = None) -> None:
        """Of digests uint8 [n, 32] their values int64 [n], or their places; of equal digests the first one counts."""
        words = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)
        order = np.lexsort(words.T[::-1])
        words = words[order]
        kept = np.ones(len(order), dtype=np.bool_)
        kept[1:] = (words[1:] != words[:-1]).any(axis=1)
        self._words = words[kept]
        self._values: npt.NDArray[np.int64] = (order if values is None else values[order])[kept]
        # Found by their first eight bytes: of a million digests two share them with a chance of 1 in 10 million.
        self._prefixes = np.ascontiguousarray(self._words[:, 0])

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """uint8 [n, 32]: each once, ascending."""
        return self._words.astype(">u8").view(np.uint8).reshape(-1, DIGEST_BYTES)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """int64 [n]: those of `digests`."""
        return self._values

    def look_up(self, digests: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Which of digests uint8 [m, 32] it has, bool [m], and their numbers, int64 [m], 0 for the others."""
        known, numbers = np.zeros(len(digests), dtype=np.bool_), np.zeros(len(digests), dtype=np.int64)
        for start in range(0, len(digests), _AT_ONCE):
            words = np.ascontiguousarray(digests[start : start + _AT_ONCE]).view(">u8").astype(np.uint64)
            places = np.searchsorted(self._prefixes, words[:, 0])
            rows = np.arange(len(words))
            while True:
                # Of those that begin like the one looked for, the first that is not smaller, if it is there at all.
                within = places < len(self._prefixes)
                rows, places = rows[within], places[within]
                alike = self._prefixes[places] == words[rows, 0]
                rows, places = rows[alike], places[alike]
                if not len(rows):
                    break
                same = (self._words[places] == words[rows]).all(axis=1)
                known[start + rows[same]], numbers[start + rows[same]] = True, self._values[places[same]]
                rows, places = rows[~same], places[~same] + 1
        return known, numbers

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[bytes]:
        return (words.astype(">u8").tobytes() for words in self._words)

    def __getitem__(self, digest: bytes) -> int:
        if len(digest) == DIGEST_BYTES:
            words = np.frombuffer(digest, dtype=">u8").astype(np.uint64)
            place = int(np.searchsorted(self._prefixes, words[0]))
            while place < len(self._prefixes) and self._prefixes[place] == words[0]:
                if np.array_equal(self._words[place], words):
                    return int(self._values[place])
                place += 1
        raise KeyError(digest)
