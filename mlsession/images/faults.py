"""Why a file is refused, in words that follow from its bytes; and flaws that readers do not notice."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from mlsession.errors import UnreadableImage

Again = Callable[[bytes], bytes | None]
"""Decodes other bytes just as the picture was decoded: its pixels as they are stored, None where they are refused."""

CUT = "cut short: "
"""How every reason begins that `allow_truncated` forgives."""

ZEROS = 32
"""So many zero bytes at the end of coded data are no accident.

Measured: coders of AVIF, HEIC, JPEG 2000 and GIF end flat and other pictures of 4 megapixels with none.
"""

PARSE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's readers raise for damaged bytes. MemoryError is not among them."""

_OTHER_LAYOUTS = (
    "unsupported",
    "cannot handle",
    "unknown pixel mode",
    "unknown tga",
    "cannot load this image",
    "unknown data org",
)
"""Parts of what Pillow's readers say of files that are whole, but of a layout that they do not take."""


def too_early(kind: str) -> str:
    """The reason for a file that ends before its picture does."""
    return f"{CUT}the {kind} data end too early"


def in_zeros(kind: str) -> str:
    """The reason for a file of the right length whose last part was never written."""
    return f"{CUT}the {kind} data end in zeros, as a failed copy leaves"


def damaged(kind: str) -> str:
    """The reason for all else."""
    return f"damaged: the {kind} data cannot be decoded"


def num_zeros_at_end(data: bytes) -> int:
    """How many zero bytes a file ends with."""
    return len(data) - len(data.rstrip(b"\0")) if data[-1:] == b"\0" else 0


def refusal(error: Exception, name: str, kind: str, data: bytes) -> UnreadableImage:
    """The reason for a reader's error; raises what does not follow from the bytes."""
    text = str(error).lower()
    if "out of memory" in text or "cannot allocate" in text:
        raise MemoryError(f"{name}: {error}") from error
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    # Pillow's own words change with its version and may hold addresses; they stay in the error's cause.
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(name, f"too large: a part of this {kind} claims more pixels than are read")
    if num_zeros_at_end(data) >= ZEROS:
        return UnreadableImage(name, in_zeros(kind))
    if "truncated" in text:
        return UnreadableImage(name, too_early(kind))
    if any(words in text for words in _OTHER_LAYOUTS):
        return UnreadableImage(name, f"its pixel layout is one of {kind} that is not read; save it as 8-bit RGB")
    return UnreadableImage(name, damaged(kind))


def no_flaw(data: bytes, image: Image.Image, again: Again) -> str:
    """For readers that notice everything that can be told from the bytes."""
    return ""


def png_flaw(data: bytes, image: Image.Image, again: Again) -> str:
    """Whether the checksums of all image data match: what is wrong, or "".

    Pillow stops at the last row, so it takes what a lost write leaves (a file of the right length whose tail is
    zeros) for black rows.
    """
    view = memoryview(data)
    start = 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        kind = bytes(view[start + 4 : start + 8])
        if kind == b"IDAT" and zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return in_zeros("PNG") if num_zeros_at_end(data) >= ZEROS else damaged("PNG")
        if kind == b"IEND":
            break
        start = end + 4
    return ""
