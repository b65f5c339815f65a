"""The names of a session's keys; see docs/format.md."""

from __future__ import annotations

import re

from mlsession import __version__

FORMAT = 1
"""The version of the stored format that this code writes."""

SOFTWARE = f"mlsession {__version__}"
"""What is written into each record, so that a reader that is too old can say what would read it."""

FOLDERS = ("log", "blobs", "heartbeat", "control", "probe")
"""The folders of a session."""

_RECORD = re.compile(r"log/([0-9]{10})\.json")
_BLOB = re.compile(r"blobs/[0-9]{10}/([0-9]{10})-([0-9a-f]{64})")
_BLOB_OPENING = re.compile(r"blobs/([0-9]{10})/[0-9]{10}-[0-9a-f]{64}")
_OURS = re.compile(r"(log/[0-9]{10}\.json|blobs/[0-9]{10}/.+|heartbeat/.+|control/.+|probe/.+|status\.json)")


def record_key(number: int) -> str:
    """Where record `number` lies."""
    return f"log/{number:010d}.json"


def record_number(key: str) -> int | None:
    """The number of the record at `key`, or None if no record can lie there."""
    match = _RECORD.fullmatch(key)
    return int(match[1]) if match else None


def blob_key(opening: int, record: int, digest: str) -> str:
    """Where a blob lies that opening `opening` writes for record `record`; `digest` is its SHA-256 in hex."""
    return f"{blob_folder(opening)}/{record:010d}-{digest}"


def blob_folder(opening: int) -> str:
    """The folder of the blobs that opening `opening` writes; of 0, what a session is created with."""
    return f"blobs/{opening:010d}"


def blob_digest(key: str) -> str | None:
    """The SHA-256 that a blob's key carries, or None if no blob can lie there."""
    match = _BLOB.fullmatch(key)
    return match[2] if match else None


def record_of(key: str) -> int | None:
    """The number of the record that a key belongs to: of a blob, the one it was written for; None for other keys."""
    match = _RECORD.fullmatch(key) or _BLOB.fullmatch(key)
    return int(match[1]) if match else None


def opening_of(key: str) -> int | None:
    """The number of the opening that a blob was written by; None for other keys."""
    match = _BLOB_OPENING.fullmatch(key)
    return int(match[1]) if match else None


def heartbeat_key(opening: int) -> str:
    """Where the writer of an opening shows that it is alive."""
    return f"heartbeat/{opening:010d}"


def stop_key(opening: int) -> str:
    """Where the writer of an opening is asked to stop."""
    return f"control/{opening:010d}/stop"


def is_ours(key: str) -> bool:
    """Whether a key follows the layout of a session."""
    return _OURS.fullmatch(key) is not None
