"""What an error of this machine's file system means, for a key below a folder."""

from __future__ import annotations

from pathlib import Path

from mlsession.errors import KeyMissing, StoreError, StoreUnavailable
from mlsession.store.failures import os_failure


def file_failure(error: OSError, root: Path, key: str, *, writing: bool = False) -> StoreError:
    """The error to raise for one of the system's, with the path concerned."""
    path = root / key
    if isinstance(error, FileNotFoundError):
        if writing and path.parent.is_dir():
            return StoreUnavailable(f"{path}: it was removed while it was written", key)
        if writing:  # Not worth another try, which would make the folder anew, without what was in it.
            reason = "its folder was removed while it was written; put it back, then run the same command again"
            return StoreError(f"{path}: {reason}", key)
        return KeyMissing(f"{path}: there is no such file", key)
    if isinstance(error, NotADirectoryError):
        return KeyMissing(f"{path}: a part of this path is a file, not a folder", key)
    # A listing may fail far below the folder that was asked for; a write fails under a temporary name.
    return os_failure(error, str(path) if writing or not error.filename else error.filename, key)
