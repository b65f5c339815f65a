"""Numbers by SHA-256 in 48 bytes an entry: a Python dictionary takes five times that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 32


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
