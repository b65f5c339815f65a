"""The C library's allocator, told to keep the memory that it has, or to give it back.

Every layer of a network frees an activation of megabytes and the next one asks for as much. glibc gives such blocks
back to the system at once and fetches fresh pages, zeroed one page fault at a time, which on virtual machines costs
as much as the arithmetic.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Parameters of `mallopt`, from glibc's malloc.h."""

_KEPT_BYTES = 1 << 30


def give_back_freed_memory() -> bool:
    """Hand all pages that glibc holds and nobody uses back to the system; True where it gave any.

    Between two kinds of work: what one of them took would stay beside what the next one takes. Milliseconds. Elsewhere
    than on Linux with glibc this does nothing.
    """
    library = _glibc()
    return library is not None and library.malloc_trim(ctypes.c_size_t(0)) == 1


def keep_freed_memory() -> bool:
    """Let glibc serve blocks of up to 1 GiB from memory that it keeps; True where that could be set.

    Holds for the whole process and is not undone: up to the peak of memory in use stays with the process. Elsewhere
    than on Linux with glibc this does nothing.
    """
    library = _glibc()
    if library is None:
        return False
    library.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    library.mallopt.restype = ctypes.c_int
    kept: bool = library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) == 1
    trimmed: bool = library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) == 1
    return kept and trimmed


def _glibc() -> ctypes.CDLL | None:
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
