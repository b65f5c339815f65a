"""Which JPEGs are so plain that another decoder may take them: told by their bytes; nothing is decoded.

Decoders of JPEG agree, but for rounding, on what nearly every camera and every web site writes: 8 bits, Huffman codes,
baseline or progressive, YCbCr with the usual subsampling, in sRGB. Where they differ is in all the rest, so the rest is
left to Pillow: grey and CMYK, other profiles, colours that a marker says are RGB, files that may be cut short.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import JpegImagePlugin

from mlsession.images.colour import is_srgb
from mlsession.images.early_end import END, bring_everything, scan_of, segments
from mlsession.images.faults import PARSE_ERRORS
from mlsession.images.orientation import orientation
from mlsession.images.quiet import silence_remarks

LEAST_SIDE = 64
"""Pixels; a picture that is shorter is not worth another decoder's while."""
MOST_PIXELS = 32_000_000
"""A picture of more takes too much of a device's memory while it is resized."""

_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _ADOBE = 0xDA, 0xEE
_YCBCR = 1
"""What the marker of Adobe says of such colours."""
_SAMPLINGS = frozenset({(0x11, 0x11, 0x11), (0x21, 0x11, 0x11), (0x22, 0x11, 0x11)})
"""4:4:4, 4:2:2 and 4:2:0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainJpeg:
    """What its header says."""

    width: int
    """Pixels, as it is stored."""
    height: int
    turn: int
    """Its orientation, see `images.orientation`."""
    is_whole: bool
    """Whether the bytes alone say that nothing is missing. Else nothing is if the last pixel is not grey; see
    `early_end`."""


def plain_jpeg(data: bytes) -> PlainJpeg | None:
    """What the header of a plain JPEG says; None for any other file. A picture that is refused may be plain."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    is_whole = _is_whole(data)
    if is_whole is None:
        return None
    silence_remarks()
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            profile = image.info.get("icc_profile")
            width, height = image.size
            if image.mode != "RGB" or (profile and not is_srgb(profile)):
                return None
            turn = orientation(image, data)
    except PARSE_ERRORS:
        return None
    if min(width, height) < LEAST_SIDE or width * height > MOST_PIXELS:
        return None
    return PlainJpeg(width=width, height=height, turn=turn, is_whole=is_whole)


def _is_whole(data: bytes) -> bool | None:
    """As `PlainJpeg.is_whole`; None where it is not plain, or something is missing."""
    frame, scans = 0, list[tuple[bytes, int]]()
    for marker, start, end in segments(data):
        content = data[start:end]
        if marker in _FRAMES:
            if frame or marker not in (_BASELINE, _PROGRESSIVE) or not _is_usual(content):
                return None
            frame = marker
        elif marker == _ADOBE and content.startswith(b"Adobe") and content[11:12] != bytes([_YCBCR]):
            return None
        elif marker == _START_OF_SCAN:
            if data.rfind(END) < end:
                return None
            scans.append((content, end))
            if frame == _BASELINE:
                # What follows is looked at where it is decoded: in one scan, all of it is this one.
                return False if scan_of(content, end).components == (1, 2, 3) else None
    if frame != _PROGRESSIVE or not bring_everything([scan_of(*each) for each in scans], 3):
        return None
    return True


def _is_usual(frame: bytes) -> bool:
    """Whether the content of a frame header (ITU-T T.81, B.2.2) says 8 bits and YCbCr with a usual subsampling."""
    names, samplings = tuple(frame[6:15:3]), tuple(frame[7:15:3])
    return len(frame) == 15 and frame[0] == 8 and frame[5] == 3 and names == (1, 2, 3) and samplings in _SAMPLINGS


def as_cut_short(data: bytes) -> bytes:
    """The same plain JPEG without the second half of what was coded, and with an end that hides it."""
    starts = [end for marker, _, end in segments(data) if marker == _START_OF_SCAN]
    first = starts[0] if starts else len(data)
    return data[: first + (data.rfind(END) - first) // 2].rstrip(b"\xff") + END


def is_suspicious(about: PlainJpeg, last: Sequence[int]) -> bool:
    """Whether something may be missing, by the last pixel that is stored; Pillow's reader then tells."""
    return not about.is_whole and all(abs(value - 128) <= 1 for value in last)
