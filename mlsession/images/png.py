"""PNG files without what they say besides their picture, which may be longer than the reader takes (PNG 1.2, 4.2)."""

from __future__ import annotations

import zlib

MOST_BYTES = 2**20
"""Of a text or a colour profile, unpacked: for more Pillow refuses the whole file, by a setting of the process."""

_FIRST = 8
"""Where the first chunk begins."""
_TEXTS = (b"tEXt", b"zTXt")
_XMP = b"XML:com.adobe.xmp\0"
"""How the one text begins that counts: it may say how the picture is turned. A byte 0 follows if it is not packed."""


def without_remarks(data: bytes) -> bytes:
    """A PNG without its texts, and without a colour profile that is too long: as any that cannot be used."""
    parts, begin, place = list[bytes](), 0, _FIRST
    while place + 12 <= len(data):
        kind, end = data[place + 4 : place + 8], place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data) or kind == b"IEND":
            break
        if _is_left_out(kind, memoryview(data)[place + 8 : end - 4]):
            parts.append(data[begin:place])
            begin = end
        place = end
    return b"".join([*parts, data[begin:]]) if parts else data


def _is_left_out(kind: bytes, content: memoryview) -> bool:
    if kind == b"iTXt":
        counts = content[: len(_XMP) + 1] == _XMP + b"\0"
        return not counts or len(content) > MOST_BYTES
    return kind in _TEXTS or (kind == b"iCCP" and _is_long(bytes(content)))


def _is_long(profile: bytes) -> bool:
    """Whether a profile (its name, 0, the method, what is packed) is too long; a damaged one is not."""
    try:
        unpacked = zlib.decompressobj().decompress(profile[profile.find(b"\0") + 2 :], MOST_BYTES)
    except zlib.error:
        return False
    return len(unpacked) == MOST_BYTES
