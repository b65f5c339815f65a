"""Files that are built of boxes: AVIF and HEIC (ISO/IEC 14496-12), and JPEG 2000 (ISO/IEC 15444-1)."""

from __future__ import annotations

from collections.abc import Iterator


def brands(data: bytes) -> frozenset[bytes]:
    """The brands that an ISO base media file names in its `ftyp` box; none if it is not such a file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return frozenset(data[start : start + 4] for start in (8, *range(16, end, 4)))


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The outermost boxes: the type, and where the content begins and ends; up to the first that makes no sense."""
    start = 0
    while start + 8 <= len(data):
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = len(data) - start  # The last box, by the standard: up to the end.
        if size < head:
            return
        yield kind, start + head, min(start + size, len(data))
        start += size
