"""Which names a store takes; pure.

reading    any name that stays below the root: users' files are called what they are called
writing    names that every disk, bucket and operating system can hold
own        what a session's layout is made of: lower case too, so that disks that fold case keep keys apart
"""

from __future__ import annotations

import re

from mlsession.errors import InvalidParameter

MAX_PART_BYTES = 255
"""The longest file name of the common file systems, in bytes of UTF-8."""

_OWN_PART = re.compile(r"[a-z0-9._-]+")
_TEMPORARY_START = ".mlsession-temporary-"
_TEMPORARY = re.compile(re.escape(_TEMPORARY_START) + "[0-9a-f]{16}")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*]')
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))})


def temporary_name(nonce: int) -> str:
    """The name of a file that is still being written; `nonce` has 64 bits. Such names are never listed."""
    return f"{_TEMPORARY_START}{nonce:016x}"


def is_temporary(name: str) -> bool:
    """Whether the last part of a key is a `temporary_name`."""
    # Asked of every file of a listing.
    return name.startswith(_TEMPORARY_START) and _TEMPORARY.fullmatch(name) is not None


def check_read_key(key: str, *, windows: bool = False) -> None:
    """Raise `InvalidParameter` for a key that could name something outside the root.

    `windows` adds what leaves a folder there: backslashes and drives.
    """
    if not key:
        raise InvalidParameter("key", key, "is empty; a key names one file below the store's root")
    if "\x00" in key:
        raise InvalidParameter("key", key, "holds a NUL character, which no file name can")
    separated = key.replace("\\", "/") if windows else key
    if separated.startswith("/") or (windows and ":" in separated.split("/", 1)[0]):
        raise InvalidParameter("key", key, "is absolute; give it relative to the store's root")
    if ".." in separated.split("/"):
        raise InvalidParameter("key", key, 'leaves the store\'s root by ".."')


def check_written_key(key: str) -> None:
    """Raise `InvalidParameter` for a key that some disk, bucket or operating system could not hold."""
    check_read_key(key)
    for part in key.split("/"):
        reason = _why_not_portable(part)
        if reason:
            raise InvalidParameter("key", key, f"the part {part!r} {reason}")


def check_own_key(key: str) -> None:
    """`check_written_key`, and lower-case letters, digits, ".", "_" and "-" only."""
    check_written_key(key)
    for part in key.split("/"):
        if not _OWN_PART.fullmatch(part):
            raise InvalidParameter("key", key, f"the part {part!r} may hold only a-z, 0-9, '.', '_' and '-'")


def _why_not_portable(part: str) -> str:
    """Why a part of a key cannot be a file name everywhere, or nothing."""
    if part in ("", "."):
        return "is no name"
    if _FORBIDDEN.search(part):
        return "holds a character that Windows forbids in file names"
    if part[-1] in ". ":
        return "ends in a dot or a space, which Windows drops"
    if part.split(".", 1)[0].rstrip().lower() in _DEVICES:
        return "is the name of a Windows device"
    if is_temporary(part):
        return "is reserved for files that are still being written"
    try:
        num_bytes = len(part.encode())
    except UnicodeEncodeError:
        return "cannot be written as UTF-8"
    if num_bytes > MAX_PART_BYTES:
        return f"is longer than {MAX_PART_BYTES} bytes"
    return ""
