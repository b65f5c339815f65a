"""What only a folder of this machine can do, or do wrong: kills, full disks, links, permissions."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlsession.errors import InvalidParameter, KeyMissing, StoreError, StoreFull
from mlsession.randomness import keyed_generator
from mlsession.store import LocalStore
from mlsession.store.keys import is_temporary, temporary_name
from mlsession.store.local import LEFTOVER_AGE_SECONDS
from tests.store.processes import REPOSITORY, number_of, start

NUM_KILLS = 12
OLD = b"what was saved before"


def test_of_many_processes_one_creates_a_key(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    processes = [start("create", str(tmp_path), name) for name in names]
    for process in processes:
        assert _line(process) == "ready"
    store = LocalStore(tmp_path)
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
    assert _temporaries(tmp_path) == []


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
        assert _temporaries(tmp_path) == []
        first = len(list(store.list("log")))


def test_what_a_killed_writer_left_is_not_listed_and_goes_after_a_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("blobs/0/kept", b"x")
    old, young = (tmp_path / "blobs" / "0" / temporary_name(nonce) for nonce in (1, 2))
    for path in (old, young):
        path.write_bytes(b"half of someth")
    then = time.time() - LEFTOVER_AGE_SECONDS - 60
    os.utime(old, (then, then))
    os.utime(tmp_path / "blobs" / "0" / "kept", (then, then))
    assert [entry.key for entry in store.list()] == ["blobs/0/kept"]
    assert store.remove_leftovers() == 1
    assert _temporaries(tmp_path) == [young]
    assert store.get("blobs/0/kept") == b"x"
    assert LocalStore(tmp_path / "missing").remove_leftovers() == 0
    assert not (tmp_path / "missing").exists()


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
    assert _temporaries(small_disk) == []
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
                print(type(error.__cause__).__name__, "free some space" in str(error))
    """
    assert _run(program) == "OSError True\nOSError True\n"
    assert LocalStore(tmp_path).get("state") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o555)
        # The super-user may write anywhere, so the program becomes somebody else first.
        program = f"""
            import os
            from mlsession.errors import StoreDenied
            from mlsession.store import LocalStore
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                LocalStore({folder!r}).put("log/0", b"x")
            except StoreDenied as error:
                print(isinstance(error, PermissionError), error)
        """
        said = _run(program)
        assert said.startswith(f"True {root / 'log' / '0'}: ")
        assert "another folder" in said
        root.chmod(0o755)


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, hard_links: bool) -> None:
    (tmp_path / "log").write_bytes(b"x")
    store = LocalStore(tmp_path, hard_links=hard_links)
    for write in (store.put, store.put_if_absent):
        with pytest.raises(StoreError, match="is a file, not a folder") as caught:
            write("log/0", b"x")
        assert type(caught.value) is StoreError
    assert list(store.list("log")) == []
    with pytest.raises(StoreError, match="is a file, not a folder"):
        list(LocalStore(tmp_path / "log").list())
    with pytest.raises(StoreError, match="is a file, not a folder"):
        LocalStore(tmp_path / "log").put("key", b"x")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "key" / "inner").mkdir(parents=True)
    store = LocalStore(tmp_path)
    with pytest.raises(StoreError, match="key") as caught:
        store.put("key", b"x")
    assert str(tmp_path / "key") in str(caught.value)
    with pytest.raises(StoreError, match="is a folder"):
        store.get("key")
    assert _temporaries(tmp_path) == []


def test_nothing_is_created_by_reading(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    assert list(store.list()) == []
    with pytest.raises(KeyMissing):
        store.get("key")
    store.delete("key")
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    store.put("log/0", b"x")
    (tmp_path / "root" / "log" / "0").unlink()
    (tmp_path / "root" / "log").rmdir()
    store.put("log/1", b"y")
    assert store.get("log/1") == b"y"


def test_the_root_does_not_follow_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path)
    store = LocalStore("root")
    monkeypatch.chdir(tmp_path / "one")
    store.put("key", b"x")
    assert (tmp_path / "root" / "key").read_bytes() == b"x"
    assert store.url == str(tmp_path / "root")


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "cats", root / "dogs", elsewhere):
        folder.mkdir(parents=True)
    (root / "cats" / "1.jpg").write_bytes(b"one")
    (elsewhere / "2.jpg").write_bytes(b"two2")
    (root / "more").symlink_to(elsewhere)
    (root / "cats" / "linked.jpg").symlink_to(elsewhere / "2.jpg")
    (root / "cats" / "up").symlink_to(root)
    (root / "cats" / "self").symlink_to(root / "cats" / "self")
    (root / "cats" / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (root / "cats" / "dogs").symlink_to(root / "dogs")
    (root / "dogs" / "cats").symlink_to(root / "cats")
    os.mkfifo(root / "dogs" / "pipe")
    store = LocalStore(root)
    sizes = {entry.key: entry.size for entry in store.list()}
    assert sizes == {
        **{"cats/1.jpg": 3, "cats/linked.jpg": 4, "more/2.jpg": 4},
        **{"dogs/cats/1.jpg": 3, "dogs/cats/linked.jpg": 4},
    }
    assert store.get("more/2.jpg") == b"two2"
    with pytest.raises(StoreError):
        store.get("cats/self")


def test_any_name_can_be_read(tmp_path: Path) -> None:
    names = ("größe.jpg", "a b.JPG", "con", "trailing.", "100%20.png", "bytes\udcff.jpg", ".hidden")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    store = LocalStore(tmp_path)
    assert {entry.key for entry in store.list()} == set(names)
    assert all(store.get(name) == b"x" for name in names)


def test_a_key_never_leaves_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    store = LocalStore(tmp_path / "root")
    for key in ("../secret", "a/../../secret", str(tmp_path / "secret")):
        with pytest.raises(InvalidParameter, match="key"):
            store.get(key)
        with pytest.raises(InvalidParameter, match="key"):
            store.list(key)


def test_a_version_tells_a_change_that_keeps_size_and_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("key", b"aaaa")
    (before,) = store.list()
    status = (tmp_path / "key").stat()
    store.put("key", b"bbbb")
    os.utime(tmp_path / "key", ns=(status.st_atime_ns, status.st_mtime_ns))
    (after,) = store.list()
    assert before.version != after.version


def test_a_listing_that_is_refused_says_where() -> None:
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked"
        locked.mkdir(mode=0o000)
        Path(folder).chmod(0o755)
        program = f"""
            import os
            from mlsession.errors import StoreDenied
            from mlsession.store import LocalStore
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                list(LocalStore({folder!r}).list())
            except StoreDenied as error:
                print(error)
        """
        assert _run(program).startswith(f"{locked}: ")
        locked.chmod(0o755)


def _stop_somewhere(root: Path, first: int, seed: int, how: signal.Signals) -> int:
    """Run a writer from number `first` on and stop it somewhere in its work; the last number it said was done."""
    process = start("write", str(root), str(first))
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


def _temporaries(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if is_temporary(path.name)]


def _run(program: str) -> str:
    """What a program says, run in a process of its own."""
    lines = program.strip("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    return subprocess.run(
        [sys.executable, "-c", "\n".join(line[indent:] for line in lines)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
