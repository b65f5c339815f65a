"""Session folders that the engine has written, for the tests of the document."""

from __future__ import annotations

from pathlib import Path

from mlsession.session.checkpoint import Checkpoint
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on


def write_folder(space: MemorySpace, root: Path) -> Path:
    """The bytes of a store in memory as files: a long session is made in memory much faster than on a disk."""
    for key, value in space.values.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.data)
    return root


def on_folder(root: Path, interval: int = 1) -> Attempt:
    """An attempt on a session in a local folder."""
    attempt = attempt_on(MemorySpace(), interval)
    attempt.open_store = lambda: LocalStore(root)
    return attempt


def walked(root: Path, limit: int, interval: int = 1) -> Path:
    """The folder of a finished session."""
    space = MemorySpace()
    attempt_on(space, interval).walk(Walk(limit=limit))
    return write_folder(space, root)


def remove_checkpoints(root: Path, numbers: list[int]) -> tuple[Checkpoint, ...]:
    """Has the library remove checkpoints."""
    with TrainingSession(lambda: LocalStore(root), SessionParameters(root)) as session:
        return session.remove_checkpoints(lambda checkpoint: checkpoint.number in numbers)
