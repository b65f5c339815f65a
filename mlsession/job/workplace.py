"""The folder in which the workers of a training report, and what their launcher prints; gone with the training.

A training that is killed leaves its folder behind. Whoever makes the next one removes those of processes that certainly
do not run any more: of this machine, this boot and this process table, see `session.watching.liveness`.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlsession.session.watching.liveness import ProcessIdentity, is_known_dead, start_time_of, this_process

PREFIX = "mlsession-workers-"
_OWNER = "owner"
_MOST_BYTES = 4_096


@contextmanager
def worker_folder() -> Iterator[Path]:
    """A new folder for a training of this process, of its user alone."""
    with suppress(OSError):
        remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        Path(folder, _OWNER).write_text(json.dumps(this_process().to_json()), encoding="ascii")
        yield Path(folder)


def remove_abandoned(parent: Path) -> None:
    """Removes the folders below `parent` whose process has died. One that does not say whose it is stays."""
    us = this_process()
    for folder in parent.glob(f"{PREFIX}*"):
        owner = _owner_of(folder)
        if owner is not None and is_known_dead(owner, us, start_time_of):
            shutil.rmtree(folder, ignore_errors=True)


def _owner_of(folder: Path) -> ProcessIdentity | None:
    """The process that a folder of this user belongs to. Others may put anything where everybody may write."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            return None
        with (folder / _OWNER).open("rb") as file:
            value = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None
    return ProcessIdentity.from_json(value)
