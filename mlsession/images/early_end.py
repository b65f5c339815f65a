"""Files that decode without an error although a part of the picture is missing.

A decoder that runs out of data may go on with a neutral value, and one that is fed zeros decodes those. Neither tells
Pillow. The question whether the end of the data was needed is put to the decoder itself: other bytes are put in that
place, and the pixels show whether it read them. It is only put where a cheap look at the outcome raises a suspicion, so
sound files are decoded once; and only an answer refuses a file, never a suspicion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from mlsession.images.boxes import boxes
from mlsession.images.faults import ZEROS, Again, in_zeros, num_zeros_at_end, too_early

_NEXT_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""Of JPEG: what is no stuffed byte, no restart marker, and no filling."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
END = bytes([0xFF, _END_OF_IMAGE])
"""What ends a JPEG."""
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), (0xC2, 0xCA)
"""Frame headers with Huffman codes; and of both codings."""

_JUNK = bytes(range(1, 255, 7)) * 8
"""No code that a coder would write: 0xFF is not in it, and no bit pattern repeats in step with the codes."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One pass over the picture: which coefficients of which components it brings, and to which bit."""

    components: tuple[int, ...]
    first: int
    last: int
    low: int
    """The lowest bit that it brings; 0 completes the coefficients."""
    start: int
    """Where the coded data begin."""


def jpeg_flaw(data: bytes, image: Image.Image, again: Again) -> str:
    """Whether the coded data end before the picture does although the end marker is there: what is wrong, or "".

    libjpeg leaves all blocks that it has no data for at zero, which is grey 128 (libjpeg-turbo, jdhuff.c,
    `insufficient_data`). So where the last pixel of a sequential JPEG is of another colour, nothing is missing. Where
    it is that grey, more data are put before the end marker: if they change the picture, it was not complete. And
    where there is no end marker at all, Pillow is content with rubbish that happened to be enough.

    A progressive JPEG is complete when its scans have brought every bit of every coefficient. What is not noticed: one
    that is cut in the very last scan, sequential ones that lack a part of their last row of blocks, and arithmetic
    coding, where data may lawfully end early.
    """
    frame, components, scans = 0, 0, list[Scan]()
    for marker, start, end in segments(data):
        if marker == _START_OF_SCAN:
            if data.rfind(END) < end:
                return in_zeros("JPEG") if num_zeros_at_end(data) >= ZEROS else too_early("JPEG")
            scans.append(scan_of(data[start:end], end))
            if frame in _SEQUENTIAL and len(scans[0].components) == components and not _is_grey(image):
                return ""
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and not frame:
            frame, components = marker, data[start + 5] if end - start > 5 else 0
    if frame in _PROGRESSIVE:
        return "" if bring_everything(scans, components) else too_early("JPEG")
    if frame not in _SEQUENTIAL or not scans:
        return ""
    if len({component for scan in scans for component in scan.components}) < components:
        return too_early("JPEG")
    return too_early("JPEG") if _reads_on(data, scans[-1].start, image, again) else ""


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The markers of the first picture in a JPEG with where their contents begin and end, up to its end."""
    place = 2
    while found := _NEXT_MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker == _START_OF_IMAGE:
            continue
        end = place + max(int.from_bytes(data[place : place + 2], "big"), 2)
        yield marker, place + 2, end
        place = end


def scan_of(header: bytes, start: int) -> Scan:
    """A scan by the content of its header (ITU-T T.81, B.2.3); of a damaged one what there is."""
    count = header[0] if header else 0
    first, last, bits = (*header[1 + 2 * count : 4 + 2 * count], 0, 0, 0)[:3]
    return Scan(tuple(header[1 : 1 + 2 * count : 2]), first, min(last, 63), bits & 15, start)


def bring_everything(scans: Sequence[Scan], components: int) -> bool:
    """Whether scans bring all 64 coefficients of each component down to the last bit."""
    done: dict[int, set[int]] = {}
    for scan in scans:
        for component in scan.components:
            if scan.low == 0:
                done.setdefault(component, set()).update(range(scan.first, scan.last + 1))
    return len(done) >= components and all(len(coefficients) == 64 for coefficients in done.values())


def _is_grey(image: Image.Image) -> bool:
    """Whether the last pixel is what blocks of zeros become; ink is stored inverted."""
    last = image.getpixel((image.width - 1, image.height - 1))
    values = last if isinstance(last, tuple) else (last,)
    return all(value is not None and abs(value - 128) <= 1 for value in values)


def _reads_on(data: bytes, start: int, image: Image.Image, again: Again) -> bool:
    """Whether a decoder has use for more data at the end of the scan that begins at `start`.

    More data are put there twice: behind the next restart marker too, in case the scan ended just before that.
    """
    found = _NEXT_MARKER.search(data, start)
    if found is None:
        return False
    end = found.start()
    marker = 0xD0 + len(_RESTART.findall(data, start, end)) % 8
    return again(data[:end] + _JUNK + bytes([0xFF, marker]) + _JUNK + data[end:]) != image.tobytes()


def webp_flaw(data: bytes, image: Image.Image, again: Again) -> str:
    """Whether the coded data of a WebP end in zeros that nobody wrote: what is wrong, or "".

    Coders write no byte that decoders do not need, but flat pictures do end in hundreds of zeros. What was coded can
    not do without its last 8 bytes; zeros in place of it are decoded as something else, and not all are used up.
    """
    start, place = 12, 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        if data[start : start + 4] in (b"VP8 ", b"VP8L"):
            place = start
            break
        start += 8 + size + size % 2
    end = min(start + 8 + size, len(data)) if place else 0
    if not place or num_zeros_at_end(data[max(end - ZEROS, place + 8) : end]) < ZEROS:
        return ""
    shorter = (size - 8).to_bytes(4, "little")
    chunk = data[place : place + 4] + shorter + data[place + 8 : end - 8] + bytes(size % 2)
    body = data[8:place] + chunk + data[end + size % 2 :]
    return in_zeros("WebP") if again(b"RIFF" + len(body).to_bytes(4, "little") + body) == image.tobytes() else ""


def media_flaw(data: bytes, image: Image.Image, again: Again) -> str:
    """Whether the coded data of an AVIF or HEIC end in zeros that nobody wrote: what is wrong, or "".

    Neither coder writes so many zeros (HEVC forbids three in a row: ITU-T H.265, 7.4.2). Where they are padding that
    nobody reads, other bytes in their place change nothing.
    """
    zeros = num_zeros_at_end(data)
    if zeros < ZEROS:
        return ""
    for kind, start, end in boxes(data):
        first = max(start, len(data) - zeros)
        if kind == b"mdat" and end - first >= ZEROS:
            other = again(data[:first] + b"\x55" * (end - first) + data[end:])
            return "" if other == image.tobytes() else in_zeros("AVIF" if image.format == "AVIF" else "HEIC")
    return ""
