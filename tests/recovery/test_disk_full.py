"""Real disks that are full, read-only or not ours, under real commands: one line with the cure, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.phases.features import MEMORY_BYTES
from mlsession.randomness import keyed_generator
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session, stored_bytes
from tests.examples.runs import final_line
from tests.examples.runs import start as start_example
from tests.recovery.nursery import SECONDS, Nursery
from tests.recovery.signalling import unbroken
from tests.recovery.trainings import PHASES, Training, prepared_photos
from tests.store.processes import run, temporaries

pytestmark = pytest.mark.sampled(0.5)

SEED = 8
FOLDER = cache_folder("x", {})
SIZE_KIB = 32_768
NOBODY = 65_534
SLOW = ("--pause", "0.02", "--interval", "1")
CURE = "No space left on device; free some space on this disk, then run the same command again"


class SmallDisk:
    """A real file system of a few dozen megabytes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def leave(self, kib: int) -> None:
        """Fills it up to so many kilobytes; what somebody else has there."""
        self.free()
        status = os.statvfs(self.root)
        # Whoever is at work there may be faster.
        with suppress(OSError), (self.root / "ballast").open("wb", buffering=0) as file:
            file.write(bytes(max(status.f_bavail * status.f_frsize - 1024 * kib, 0)))

    def free(self) -> None:
        (self.root / "ballast").unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """ "ro" or "rw"; waits until no file is open for writing."""
        deadline = time.monotonic() + SECONDS
        while subprocess.run(["mount", "-o", f"remount,{how}", str(self.root)], capture_output=True).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k,mode=0777", "tmpfs", str(folder)]
    if subprocess.run(line, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_command_on_a_disk_that_others_fill(trainers: Nursery, tmp_path: Path, disk: SmallDisk) -> None:
    photos = prepared_photos(tmp_path / "photos")
    session, model = disk.root / "session", disk.root / "models" / "fruit.safetensors"
    training = Training(trainers, photos, session, cache=str(disk.root / "cache"))
    random = keyed_generator(SEED, "free")
    print(f"seed {SEED}")  # noqa: T201
    disk.leave(int(random.integers(12, 32)))
    code, said = training.end()
    assert (code, said.startswith(f"error: {session}/")) == (1, True)
    assert CURE in said
    assert temporaries(disk.root) == []
    saved = stored_bytes(training.store)
    check_session(training.store)
    disk.free()
    child = training.start(halt=f"within {PHASES[1]}")
    child.until_halted()
    disk.leave(int(random.integers(0, 8)))
    child.send(signal.SIGCONT)
    assert child.wait() == 1, child.err
    assert CURE in child.err.splitlines()[-1]
    assert child.err.count("going on without the feature cache") <= 1
    assert {key: data for key, data in stored_bytes(training.store).items() if key in saved} == saved
    check_session(training.store)
    disk.free()
    training.finish()
    disk.leave(4)
    exporting = Training(trainers, photos, session, "--export", str(model))
    code, said = exporting.end()
    assert (code, said) == (1, f"error: {model}: {CURE} (what was saved before is untouched)")
    assert list(model.parent.glob("*")) == []
    disk.free()
    assert exporting.end()[0] == 0
    assert model.exists()


def test_a_full_cache_ends_no_training(disk: SmallDisk) -> None:
    failures: list[str] = []
    cache = FeatureCache(lambda: LocalStore(disk.root / "cache"), FOLDER, failures.append, pack_rows=4)
    disk.leave(8)
    rows = np.ones((8, 1280), dtype=np.float16)
    for number, row in enumerate(rows):
        cache.add(bytes([number]) * 32, row)
    cache.close()
    assert len(failures) == 1  # Said once, and then it is left alone.
    assert CURE in failures[0]
    assert temporaries(disk.root) == []
    disk.free()
    again = FeatureCache(lambda: LocalStore(disk.root / "cache"), FOLDER, failures.append, pack_rows=4)
    assert not any(again.contains(bytes([number]) * 32) for number in range(8))
    again.close()


def test_an_example_fills_the_disk_by_itself(tmp_path: Path, disk: SmallDisk) -> None:
    line = ("--batches", "80", "--checkpoint-interval", "1")
    session = disk.root / "session"
    disk.leave(256)
    process = start_example(str(session), *line)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert CURE in errors.splitlines()[-1]
    assert temporaries(session) == []
    facts = check_session(LocalStore(session))
    assert facts is not None
    assert facts.checkpoints
    disk.free()
    assert final_line(str(session), *line) == final_line(str(tmp_path / "unbroken"), *line)


def test_a_disk_that_becomes_read_only_in_the_midst(walkers: Nursery, tmp_path: Path, disk: SmallDisk) -> None:
    session = disk.root / "session"
    child = walkers.start("walk", session, *SLOW)
    child.until(lambda: (session / "log" / "0000000003.json").exists())
    disk.remount("ro")
    assert child.wait() == 1
    assert "the disk is mounted read-only, or choose another folder" in child.err.splitlines()[-1]
    check_session(LocalStore(session))
    disk.remount("rw")
    assert walkers.run("walk", session)[1] == unbroken(walkers, tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only the super-user may become somebody else")
def test_permissions_that_are_missing_or_taken_away(walkers: Nursery) -> None:
    with tempfile.TemporaryDirectory() as folder:  # Unlike those of pytest, anybody may be given it.
        root = Path(folder)
        os.chown(root, NOBODY, NOBODY)
        root.chmod(0o555)
        code, _, errors = walkers.run("walk", root / "session", user=NOBODY)
        assert code == 1
        line = errors.splitlines()[-1]
        assert line.startswith(f"error: {root}")
        assert "Permission denied; check the owner and mode of it, or choose another folder" in line
        assert list(root.iterdir()) == []
        root.chmod(0o755)
        child = walkers.start("walk", root / "session", *SLOW, user=NOBODY)
        child.until(lambda: (root / "session" / "log" / "0000000003.json").exists())
        (root / "session" / "log").chmod(0o555)
        assert child.wait() == 1
        assert "Permission denied" in child.err.splitlines()[-1]
        check_session(LocalStore(root / "session"))
        (root / "session" / "log").chmod(0o755)
        assert walkers.run("walk", root / "session", user=NOBODY)[1] == unbroken(walkers, root)


def test_features_that_find_no_room_do_not_kill_the_process(disk: SmallDisk) -> None:
    program = f"""
        import tempfile
        from mlsession.errors import StoreFull
        from mlsession.phases.features import make_room
        tempfile.tempdir = {str(disk.root)!r}
        try:
            make_room({MEMORY_BYTES // 2048 + 1}, 1024)[:] = 1.0
        except StoreFull as error:
            print(error)
    """
    said = run(program)
    assert said.startswith(f"{disk.root}: No space left on device; the features need 256 MiB there: free some space")
    assert "TMPDIR" in said
