"""ICC profiles of grey and of ink, put together here byte by byte, so that what they mean is known without a library.

ICC.1:2001-04: header (6.1), tag table (6.2), textDescriptionType (6.5.17), XYZType (6.5.26), curveType (6.5.3),
lut8Type (6.5.8).
"""

from __future__ import annotations

import itertools
import struct

INKS = (0.25, 0.4, 0.1, 1.0)
"""How much of the lightness cyan, magenta, yellow and black take away at their full amount."""
_D50 = (0xF6D6, 0x10000, 0xD32D)


def grey_profile(gamma: float) -> bytes:
    """Of grey whose luminance is (value / 255) ^ gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def ink_profile() -> bytes:
    """Of inks that are all without a colour: lightness 100 times the product of (1 - `INKS` x amount)."""
    grid = bytearray()
    for amounts in itertools.product((0, 1), repeat=4):
        lightness = 1.0
        for ink, amount in zip(INKS, amounts, strict=True):
            lightness *= 1 - ink * amount
        grid += bytes([round(lightness * 255), 128, 128])
    matrix = struct.pack(">9i", *(0x10000 if place % 4 == 0 else 0 for place in range(9)))
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * straight + bytes(grid) + 3 * straight
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def level(luminance: float) -> float:
    """What sRGB (IEC 61966-2-1) writes for a grey of that luminance, 0 to 255."""
    linear = luminance <= 0.0031308
    return 255 * (12.92 * luminance if linear else 1.055 * luminance ** (1 / 2.4) - 0.055)


def level_of_lightness(lightness: float) -> float:
    """The same for a lightness of CIE Lab, 0 to 100."""
    return level(((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3)


def _profile(device: bytes, space: bytes, between: bytes, tables: dict[bytes, bytes]) -> bytes:
    name = b"made for a test\0"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">3I", *_D50)
    tags = {b"desc": text, b"wtpt": white, **tables}
    entries, content, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        entries += tag + struct.pack(">II", start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = start + len(content)
    header = struct.pack(">I4xI", size, 0x02400000) + device + space + between + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header += b"acsp" + bytes(28) + struct.pack(">3I", *_D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + content
