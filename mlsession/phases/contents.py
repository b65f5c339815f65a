"""Of every image extracted so far its content and whether it can be read: 33 bytes each, however many there are.

A run that goes on from a saved state needs them only when all images are done. So it does not wait for those of the
images before: they are read back, and with them all that was extracted is checked, a block between two steps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DigestMap
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Array, Arrays, Past, Phase

FACTS = ("view", "digest", "readable")
"""What is kept of extraction's output; see `phases.extract`."""


def original_facts(block: Arrays) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """SHA-256 uint8 [images, 32] and readability bool [images] of the images that a block of the output is of."""
    original = block["view"] == 0
    return block["digest"][original], block["readable"][original].astype(np.bool_)


class Contents:
    """The facts by image: those before `images` read back from a past, the others added as they are made."""

    def __init__(self, count: int, past: Past, images: int = 0, rows: int = 0) -> None:
        """`count` images in all; of the first `images`, which have `rows` rows, the past knows."""
        self._digests: Array = np.zeros((count, 32), dtype=np.uint8)
        self._readable = np.zeros(count, dtype=np.bool_)
        self._past = past.rows(Phase.EXTRACTING, names=FACTS) if images else iter(())
        self._rows = rows
        self._first = images
        self._earlier = 0
        """Images read back so far."""
        self._earlier_rows = 0
        self.images = images
        """Images done."""

    def add(self, digests: Array, readable: npt.NDArray[np.bool_]) -> None:
        """Takes in the next images: uint8 [n, 32] and bool [n]."""
        place = slice(self.images, self.images + len(readable))
        self._digests[place], self._readable[place] = digests, readable
        self.images = place.stop

    def read_on(self) -> bool:
        """Reads a block of what came before; False once there is no more. Raises `DamagedData`."""
        block = next(self._past, None)
        with as_written("rows of extracting"):
            if block is None:
                if (self._earlier, self._earlier_rows) != (self._first, self._rows):
                    found = f"{self._earlier_rows} rows of {self._earlier} images"
                    raise ValueError(f"{found} in place of {self._rows} of {self._first}")
                return False
            digests, readable = original_facts(block)
            place = slice(self._earlier, self._earlier + len(readable))
            if place.stop > self._first:
                raise ValueError(f"rows of more than {self._first} images")
            self._digests[place], self._readable[place] = digests, readable
            self._earlier, self._earlier_rows = place.stop, self._earlier_rows + len(block["view"])
        return True

    def all(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """SHA-256 uint8 [images, 32] and readability bool [images] of all images done. Raises `DamagedData`."""
        while self.read_on():
            pass
        return self._digests[: self.images], self._readable[: self.images]

    def close(self) -> None:
        """Stops reading; idempotent."""
        if isinstance(self._past, Generator):
            self._past.close()


def copies_among(digests: Array, readable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64 [M, 2]: (image, first image with the same bytes) of each readable image that is not that first one.

    `digests` uint8 [N, 32] and `readable` bool [N] are by image; ascending.
    """
    rows = np.flatnonzero(readable)
    _, first = DigestMap(digests[rows]).look_up(digests[rows])
    again = first != np.arange(len(rows))
    return np.stack([rows[again], rows[first[again]]], axis=1).astype(np.int64)


def earlier_digests(past: Past) -> Iterator[npt.NDArray[np.uint8]]:
    """The contents of the images extracted so far, uint8 [n, 32] at a time, in order. Raises `DamagedData`."""
    for block in past.rows(Phase.EXTRACTING, names=FACTS):
        with as_written("rows of extracting"):
            yield original_facts(block)[0]
