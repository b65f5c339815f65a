"""What only a folder of this machine can do, or do wrong: links, permissions, odd names, what kills leave behind."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlsession.errors import InvalidParameter, KeyMissing, StoreError
from mlsession.store import LocalStore
from mlsession.store.keys import temporary_name
from mlsession.store.local import LEFTOVER_AGE_SECONDS
from tests.store.processes import run, temporaries


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
    assert temporaries(tmp_path) == [young]
    assert store.get("blobs/0/kept") == b"x"
    assert store.remove_leftovers("blobs/0", older_than=0) == 1
    assert temporaries(tmp_path) == []
    assert LocalStore(tmp_path / "missing").remove_leftovers() == 0
    assert not (tmp_path / "missing").exists()


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
        said = run(program)
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
    assert temporaries(tmp_path) == []


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


@pytest.mark.parametrize("name", ["get", "get_range"])
def test_what_is_no_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    """A pipe has no first byte until somebody writes one, and some devices have no last one."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    store, said = LocalStore(tmp_path), list[str]()

    def read() -> None:
        for key in ("pipe", "device", "folder"):
            with pytest.raises(StoreError) as caught:
                store.get(key) if name == "get" else store.get_range(key, 0, 9)
            said.append(str(caught.value))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(60)
    what = "is a pipe, a socket or a device, not a file; remove it, or correct the path"
    assert said == [
        f"{tmp_path}/pipe: {what}",
        f"{tmp_path}/device: {what}",
        f"{tmp_path}/folder: is a folder, not a file",
    ]


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
        assert run(program).startswith(f"{locked}: ")
        locked.chmod(0o755)


def test_nothing_is_deleted_behind_a_link(tmp_path: Path) -> None:
    """Whoever gave us the folder may have made it."""
    elsewhere, store = tmp_path / "elsewhere", LocalStore(tmp_path / "root")
    store.put("blobs/0/kept", b"x")
    LocalStore(elsewhere).put("a", b"theirs")
    half = elsewhere / temporary_name(7)
    half.write_bytes(b"half of someth")
    (tmp_path / "root" / "blobs" / "1").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="what lies behind links is never deleted"):
        store.delete("blobs/1/a")
    with pytest.raises(StoreError, match="what lies behind links is never deleted"):
        store.delete_some(["blobs/0/kept", "blobs/1/a"])
    assert store.remove_leftovers("blobs/1", older_than=0) == 0
    assert store.remove_leftovers("blobs", older_than=0) == 0
    assert sorted(elsewhere.iterdir()) == sorted([half, elsewhere / "a"])
