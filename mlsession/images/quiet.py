"""Keeps remarks of Pillow and the libraries below it off the application's stderr; what they found is in our error."""

from __future__ import annotations

import ctypes
import logging
import warnings

from PIL import _imaging

_READERS = r"PIL\.(TiffImagePlugin|PngImagePlugin|IcoImagePlugin)\Z"


def silence_remarks() -> None:
    """No remarks of Pillow's on odd files (a tag too long, a broken animation header).

    What it logs goes where the application sends it; to stderr only if the application has asked for that.

    `warnings.catch_warnings` swaps a process-wide list back and forth, which loses filters when threads do it at once;
    so one narrow filter is added, once, and stays: warnings of these readers, and no others.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or getattr(first[3], "pattern", first[3]) != _READERS:
        warnings.filterwarnings("ignore", category=UserWarning, module=_READERS)
    logger = logging.getLogger("PIL")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def silence_libtiff() -> None:
    """No lines from libtiff on stderr, for each damaged tag one; Pillow has switched its warnings off, not its errors.

    The C library that Pillow is linked with has one such setting for the process, and this is the only way to it. Where
    the library is inside of Pillow's own (Windows) there is no way, and the lines stay.
    """
    try:
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (OSError, AttributeError):
        return
