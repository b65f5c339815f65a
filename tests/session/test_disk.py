"""A session on a disk of this machine that is full, refuses, or is taken away, at any system call and in any step."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlsession.errors import StoreDenied, StoreError, StoreFull
from mlsession.events import CheckpointCommitted, Event, HeartbeatMissed
from mlsession.randomness import keyed_generator
from mlsession.session.log.layout import blob_folder, heartbeat_key, record_key
from mlsession.session.policy import EveryIterations
from mlsession.session.upkeep.deletion import delete_session
from mlsession.session.upkeep.leftovers import SHARED_SECONDS
from mlsession.store.keys import temporary_name
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session, stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on, unbroken
from tests.store.processes import temporaries
from tests.store.system import Disk, breaking

SEED = 8
TASK = Walk(limit=4)
SAMPLE = 15
"""One call of so many is made to fail; `benchmarks/disk_matrix.py` has them all fail."""


def attempt_in(root: Path) -> Attempt:
    """A sign of life at the beginning is the only one: its thread is not what these tests are about."""
    return Attempt(open_store=lambda: LocalStore(root), policy=EveryIterations(iterations=2), beat_seconds=60.0)


def num_calls(root: Path) -> int:
    disk = Disk(root)
    with breaking(disk):
        attempt_in(root).walk(TASK)
    assert {"open", "write", "fsync", "link", "replace", "mkdir", "open folder"} == set(disk.calls)
    return len(disk.calls)


def check_broken(root: Path, disk: Disk, error: type[StoreError], words: str) -> None:
    """Walks on a disk that fails somewhere, and then on one that works again."""
    attempt = attempt_in(root)
    with breaking(disk):
        try:
            assert attempt.walk(TASK) == unbroken(TASK)
        except error as refused:
            assert words in str(refused)  # noqa: PT017
            assert str(root) in str(refused)  # noqa: PT017
        else:
            assert attempt.of(HeartbeatMissed)  # All that failed.
    assert disk.failed
    assert temporaries(root) == []
    facts = check_session(LocalStore(root))
    said = [event.checkpoint for event in attempt.of(CheckpointCommitted)]
    stored = [] if facts is None else [entry.number for entry in facts.checkpoints]
    # The last may have got its name before the disk refused to make that durable.
    assert said in (stored, stored[:-1])
    assert attempt_in(root).walk(TASK) == unbroken(TASK)
    check_session(LocalStore(root))


@pytest.mark.parametrize(
    ("number", "stays", "words"),
    [
        (errno.ENOSPC, True, "No space left on device; free some space on this disk"),
        (errno.ENOSPC, False, "free some space on this disk"),
        (errno.EDQUOT, True, "larger quota"),
    ],
)
def test_a_full_disk_at_any_call(tmp_path: Path, number: int, stays: bool, words: str) -> None:
    count = num_calls(tmp_path / "unbroken")
    first = int(keyed_generator(SEED, "first", number, int(stays)).integers(1, SAMPLE + 1))
    print(f"seed {SEED}: calls {first}, {first + SAMPLE}, ... of {count}")  # noqa: T201
    for at in range(first, count + 1, SAMPLE):
        check_broken(tmp_path / str(at), Disk(tmp_path / str(at), at, number, stays=stays), StoreFull, words)


def test_a_disk_that_becomes_read_only(tmp_path: Path) -> None:
    count = num_calls(tmp_path / "unbroken")
    for at in range(3, count + 1, count // 4):
        disk = Disk(tmp_path / str(at), at, errno.EROFS)
        check_broken(tmp_path / str(at), disk, StoreDenied, "the disk is mounted read-only")


def elsewhere(root: Path) -> Path:
    """A new empty folder on the same disk."""
    return Path(tempfile.mkdtemp(prefix="away-", dir=root.parent))


def removed(root: Path) -> None:
    root.rename(elsewhere(root) / "session")


def replaced_by_a_file(root: Path) -> None:
    removed(root)
    root.write_bytes(b"x")


def replaced_by_a_dangling_link(root: Path) -> None:
    removed(root)
    root.symlink_to(root.with_name("nowhere"))


def replaced_by_a_link_to_an_empty_folder(root: Path) -> None:
    removed(root)
    root.symlink_to(elsewhere(root))


def emptied(root: Path) -> None:
    away = elsewhere(root)
    for path in list(root.iterdir()):
        path.rename(away / path.name)


def robbed_of_its_log(root: Path) -> None:
    (root / "log").rename(elsewhere(root) / "log")


GONE = r"is gone, so it was removed|is a file, not a folder|its folder was removed while it was written"


@pytest.mark.parametrize("at", [1, 3, 4])
@pytest.mark.parametrize(
    "taken_away",
    [
        *(removed, replaced_by_a_file, replaced_by_a_dangling_link, replaced_by_a_link_to_an_empty_folder),
        *(emptied, robbed_of_its_log),
    ],
)
def test_a_folder_that_is_taken_away_in_any_step(tmp_path: Path, taken_away: Callable[[Path], None], at: int) -> None:
    root = tmp_path / "session"

    def on_step(turn: int) -> None:
        if turn == at:
            # The sign of life, and the checkpoint of step 2: nobody writes just now.
            while not (root / heartbeat_key(1)).exists() or (at > 2 and not (root / record_key(2)).exists()):
                time.sleep(0.001)
            taken_away(root)

    with pytest.raises(StoreError, match=GONE) as caught:
        attempt_in(root).walk(Walk(limit=4, on_step=on_step))
    assert str(root) in str(caught.value)
    # A log that has no beginning would keep everybody out.
    assert not list(root.glob("log/*"))
    if root.is_symlink() or root.is_file():
        root.unlink()
    assert attempt_in(root).walk(TASK) == unbroken(TASK)


def test_a_folder_may_move_to_another_disk_behind_a_link(tmp_path: Path) -> None:
    root = tmp_path / "session"

    def on_step(turn: int) -> None:
        if turn != 7:
            return
        opening = max(int(path.stem) for path in (root / "log").iterdir())
        while not (root / heartbeat_key(opening)).exists():
            time.sleep(0.001)  # Nobody writes to it once that is there.
        (tmp_path / "link").symlink_to(tmp_path / "new")
        root.rename(tmp_path / "new")
        (tmp_path / "link").rename(root)

    attempt_in(root).walk(TASK)
    attempt = attempt_in(root)
    attempt.policy = EveryIterations(iterations=100)
    assert attempt.walk(Walk(limit=8, on_step=on_step)) == unbroken(Walk(limit=8))
    check_session(LocalStore(tmp_path / "new"))


def test_a_writer_that_slept_through_a_deletion_does_not_come_back(tmp_path: Path) -> None:
    space = MemorySpace()

    def on_step(turn: int) -> None:
        if turn == 3:
            delete_session(MemoryStore(space), FakeClock(), 0.0, _ignore)

    with pytest.raises(StoreError, match="is gone"):
        attempt_on(space, interval=2).walk(Walk(limit=4, on_step=on_step))
    assert not [key for key in stored_bytes(MemoryStore(space)) if key.startswith("log/")]
    assert attempt_on(space).walk(Walk(seed=5)) == unbroken(Walk(seed=5))


def test_what_a_killed_writer_left_goes_when_the_next_one_opens(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    class Killed(BaseException):
        pass

    def on_step(turn: int) -> None:
        if turn == 3:
            raise Killed

    with pytest.raises(Killed):
        attempt_in(tmp_path).walk(Walk(limit=4, on_step=on_step))
    closed = max(entry.key for entry in store.list("log"))
    (tmp_path / closed).unlink()  # Nobody says how it ended who is killed.
    old = time.time() - SHARED_SECONDS - 60
    left = [_left(tmp_path / blob_folder(1), 1, time.time()), _left(tmp_path / "log", 2, old)]
    young = _left(tmp_path / "log", 3, time.time())
    before = stored_bytes(store)
    attempt_in(tmp_path).walk(TASK)
    assert temporaries(tmp_path) == [young]
    assert not any(path.exists() for path in left)
    assert before.items() <= stored_bytes(store).items()


def _left(folder: Path, nonce: int, modified: float) -> Path:
    path = folder / temporary_name(nonce)
    path.write_bytes(b"half of someth")
    os.utime(path, (modified, modified))
    return path


def _ignore(event: Event) -> None:
    return
