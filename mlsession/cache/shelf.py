"""The packs of a feature cache that are being read: those read last in memory, others that came back in a file.

Rows are mostly asked for as they were made, pack after pack. Where they are not, such as after the images were
renamed, a pack that is wanted again after it had to go is written to a temporary file, out of which single rows are
read: else every row could cost the reading of a pack.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from typing import IO

import numpy as np

from mlsession.cache.packs import DIGEST_BYTES, Digests
from mlsession.extractors.halves import Halves

MEMORY_BYTES = 96 * 2**20
"""Packs that are held in memory."""


class Shelf:
    """Whole packs by number. Belongs to one thread at a time."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._held: OrderedDict[int, tuple[Digests, Halves]] = OrderedDict()
        self._held_bytes = 0
        self._seen: set[int] = set()
        self._filed: dict[int, tuple[int, int]] = {}
        """Where a pack begins in the file, and features of a row."""
        self._file: IO[bytes] | None = None
        self._can_file = True

    def put(self, number: int, digests: Digests, rows: Halves) -> None:
        """Takes in a pack: uint8 [n, 32] and float16 [n, D]."""
        if number in self._seen:
            self._write(number, digests, rows)
        self._seen.add(number)
        self._held[number] = digests, rows
        self._held_bytes += digests.nbytes + rows.nbytes
        while self._held_bytes > self._memory_bytes and len(self._held) > 1:
            _, (old_digests, old_rows) = self._held.popitem(last=False)
            self._held_bytes -= old_digests.nbytes + old_rows.nbytes

    def has(self, number: int) -> bool:
        """Whether rows of a pack are at hand."""
        return number in self._held or number in self._filed

    def row(self, number: int, row: int) -> tuple[bytes, Halves]:
        """Digest and features, float16 [D], of a row of a pack that is at hand; empty ones if the disk fails."""
        if number in self._held:
            self._held.move_to_end(number)
            digests, rows = self._held[number]
            return digests[row].tobytes(), rows[row]
        start, width = self._filed[number]
        length = DIGEST_BYTES + 2 * width
        data = self._read(start + row * length, length)
        return data[:DIGEST_BYTES], np.frombuffer(data[DIGEST_BYTES:], dtype=np.float16)

    def drop(self, number: int) -> None:
        """Forgets a pack."""
        self._filed.pop(number, None)
        if number in self._held:
            digests, rows = self._held.pop(number)
            self._held_bytes -= digests.nbytes + rows.nbytes

    def close(self) -> None:
        """Releases memory and file; idempotent."""
        self._held, self._held_bytes, self._filed = OrderedDict(), 0, {}
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, start: int, length: int) -> bytes:
        try:
            if self._file is not None:
                self._file.seek(start)
                data = self._file.read(length)
                return data if len(data) == length else b""
        except OSError:
            self._can_file, self._filed = False, {}
        return b""

    def _write(self, number: int, digests: Digests, rows: Halves) -> None:
        if number in self._filed or not self._can_file:
            return
        # A temporary folder that is full makes this slower, and harms nothing else.
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="mlsession-cache-")  # noqa: SIM115 (closed by `close`)
            start = self._file.seek(0, 2)
            self._file.write(np.concatenate([digests, rows.view(np.uint8).reshape(len(rows), -1)], axis=1).tobytes())
            self._file.flush()
        except OSError:
            self._can_file = False
        else:
            self._filed[number] = start, rows.shape[1]
