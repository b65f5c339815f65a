"""A folder of this machine under kills, interrupts, racing processes and full disks."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlsession.errors import StoreFull
from mlsession.randomness import keyed_generator
from mlsession.store import LocalStore
from tests.store.processes import number_of, run, started, temporaries

NUM_KILLS = 12
OLD = b"what was saved before"


def test_of_many_processes_one_creates_a_key(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    store = LocalStore(tmp_path)
    with ExitStack() as stack:
        processes = [stack.enter_context(started("create", str(tmp_path), name)) for name in names]
        assert [_line(process) for process in processes] == ["ready"] * len(names)
        for number in range(60):
            key = f"log/{number:03}"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"{key}\n")
                process.stdin.flush()
            outcomes = [_line(process) for process in processes]
            assert sorted(outcomes) == ["lost", "lost", "lost", "won"]
            assert store.get(key) == names[outcomes.index("won")].encode() * 1000
        for process in processes:
            process.communicate()
            assert process.returncode == 0
    assert temporaries(tmp_path) == []


def test_a_killed_writer_leaves_old_or_new(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    first = 0
    for kill in range(NUM_KILLS):
        done = _stop_somewhere(tmp_path, first, kill, signal.SIGKILL)
        state = number_of(store.get("state"))
        assert done <= state <= done + 1
        keys = sorted(entry.key for entry in store.list())
        logged = [f"log/{number:06}" for number in range(state + 1)]
        # The last number may have been killed between its two writes.
        assert keys in ([*logged, "state"], [*logged[:-1], "state"])
        for entry in store.list("log"):
            assert number_of(store.get(entry.key)) == int(entry.key.removeprefix("log/"))
        first = len(keys) - 1


def test_an_interrupted_writer_leaves_no_temporary(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    first = 0
    for attempt in range(NUM_KILLS):
        _stop_somewhere(tmp_path, first, attempt, signal.SIGINT)
        assert temporaries(tmp_path) == []
        first = len(list(store.list("log")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_saved(small_disk: Path) -> None:
    store = LocalStore(small_disk / "session")
    store.put("state", OLD)
    store.put("ballast", b"x" * 500_000)
    for key, write in (("state", store.put), ("log/0", store.put_if_absent)):
        with pytest.raises(StoreFull, match="free some space") as caught:
            write(key, b"y" * 700_000)
        assert str(small_disk / "session" / key) in str(caught.value)
    assert store.get("state") == OLD
    assert {entry.key for entry in store.list()} == {"state", "ballast"}
    assert temporaries(small_disk) == []
    store.delete("ballast")
    store.put("state", b"y" * 700_000)
    assert store.get("state") == b"y" * 700_000


def test_a_full_disk_without_hard_links(small_disk: Path) -> None:
    store = LocalStore(small_disk, hard_links=False)
    with pytest.raises(StoreFull):
        store.put_if_absent("log/0", b"y" * 2_000_000)
    assert list(store.list()) == []
    store.put_if_absent("log/0", b"y" * 700_000)
    assert store.get("log/0") == b"y" * 700_000


def test_a_limit_on_file_sizes_keeps_what_was_saved(tmp_path: Path) -> None:
    LocalStore(tmp_path).put("state", OLD)
    program = f"""
        import resource
        from mlsession.errors import StoreFull
        from mlsession.store import LocalStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
        for write in (LocalStore({str(tmp_path)!r}).put, LocalStore({str(tmp_path)!r}, hard_links=False).put_if_absent):
            try:
                write("state" if "absent" not in write.__name__ else "new", b"y" * 700_000)
            except StoreFull as error:
                print(type(error.__cause__).__name__, "ulimit -f" in str(error))
    """
    assert run(program) == "OSError True\nOSError True\n"
    assert LocalStore(tmp_path).get("state") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def _stop_somewhere(root: Path, first: int, seed: int, how: signal.Signals) -> int:
    """Run a writer from number `first` on and stop it somewhere in its work; the last number it said was done."""
    with started("write", str(root), str(first)) as process:
        assert _line(process) == "ready"
        done = first - 1
        generator = keyed_generator(seed, "stop", how.name)
        for _ in range(int(generator.integers(1, 6))):
            done = int(_line(process))
        # A number takes a few milliseconds: somewhere in the next one or two.
        time.sleep(float(generator.uniform(0, 0.02)))
        process.send_signal(how)
        rest, _ = process.communicate()
        assert process.returncode != 0
    said = [int(line) for line in rest.split("\n")[:-1]]
    return said[-1] if said else done


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
