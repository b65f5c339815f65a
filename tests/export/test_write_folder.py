"""Packages on disks and elsewhere: replaced whole, and never what is no package."""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlsession.coreml.manifest import MANIFEST, MODEL, WEIGHTS, package_files
from mlsession.errors import DamagedData, InvalidParameter, StoreError
from mlsession.export.write import check_destination
from mlsession.export.write_folder import check_package, put_package, write_package
from mlsession.store import MemoryStore, open_store
from tests.servers.s3 import S3Server

OLD = package_files(b"the old model", b"its weights")
NEW = package_files(b"the new model", b"")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a package that is not there yet, in a folder that is not there either."""
    folder = str(tmp_path / "new") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return f"{folder}/X.mlpackage"


def stored(url: str) -> dict[str, bytes]:
    store = open_store(url)
    return {entry.key: store.get(entry.key) for entry in store.list()}


def test_a_package_is_written_and_replaced_with_nothing_left_of_the_old_one(place: str) -> None:
    for files in (OLD, NEW, OLD):
        check_destination(place)
        write_package(place, files)
        assert stored(place) == files


def test_a_package_in_a_bucket(s3_server: S3Server) -> None:
    url, options = f"{s3_server.new_bucket_url()}/models/X.mlpackage", s3_server.storage_options
    for files in (OLD, NEW):
        check_destination(url, options)
        write_package(url, files, options)
        with closing(open_store(url, options)) as store:
            assert {entry.key: store.get(entry.key) for entry in store.list()} == files


def test_a_slash_at_the_end_changes_nothing(place: str) -> None:
    write_package(f"{place}/", OLD)
    assert stored(place) == OLD


def test_what_a_mac_and_xcode_leave_in_a_package_goes_with_it(place: str) -> None:
    write_package(place, OLD)
    store = open_store(place)
    store.put(".DS_Store", b"")
    store.put("Data/com.apple.CoreML/FeatureDescriptions.json", b"{}")
    write_package(place, NEW)
    assert set(stored(place)) - {".DS_Store"} == set(NEW)


@pytest.mark.parametrize("files", [{"notes.txt": b""}, {"Data/photo.jpg": b""}, {MANIFEST: b"", "notes/a.txt": b""}])
def test_a_folder_that_is_no_package_is_left_alone(place: str, files: dict[str, bytes]) -> None:
    store = open_store(place)
    for key, data in files.items():
        store.put(key, data)
    for refused in (check_destination, lambda url: write_package(url, NEW)):
        with pytest.raises(InvalidParameter, match=r"X\.mlpackage.*such as (notes|Data)"):
            refused(place)
    assert stored(place) == files


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "X.mlpackage"
    path.write_bytes(b"a zip file, perhaps")
    for refused in (check_package, lambda url: write_package(url, NEW)):
        with pytest.raises(InvalidParameter, match="is a file"):
            refused(str(path))
    assert path.read_bytes() == b"a zip file, perhaps"


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="no symbolic links")
def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    write_package(str(tmp_path / "real.mlpackage"), OLD)
    (tmp_path / "X.mlpackage").symlink_to("real.mlpackage")
    write_package(str(tmp_path / "X.mlpackage"), NEW)
    assert contents(tmp_path / "real.mlpackage") == OLD
    assert contents(tmp_path / "X.mlpackage") == NEW
    assert not (tmp_path / "X.mlpackage").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bad_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="Windows"):
        check_package(str(tmp_path / "what?.mlpackage"))


def test_a_kill_anywhere_leaves_a_whole_package_and_the_next_write_tidies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill would leave is copied before each change of the disk."""
    path, copies = tmp_path / "live" / "X.mlpackage", tmp_path / "copies"
    write_package(str(path), OLD)

    def copied_before(act: Callable[..., object]) -> Callable[..., object]:
        def method(*arguments: object, **options: object) -> object:
            shutil.copytree(path.parent, copies / f"{len(list(copies.glob('*'))):02}")
            return act(*arguments, **options)

        return method

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "rename"), (Path, "mkdir"), (os, "fsync"), (os, "unlink"), (os, "rmdir")):
            patch.setattr(owner, name, copied_before(getattr(owner, name)))
        write_package(str(path), NEW)
    seen: list[str] = []
    for left in sorted(copies.iterdir()):
        package = left / "X.mlpackage"
        if package.exists():
            assert contents(package) in (OLD, NEW)
            seen.append("old" if contents(package) == OLD else "new")
        else:  # Between the two renames: the old one lies beside.
            (hidden,) = left.glob(".X.mlpackage.mlsession-old-*")
            assert contents(hidden) == OLD
            seen.append("beside")
        write_package(str(package), NEW)
        assert contents(package) == NEW
        assert [each.name for each in left.iterdir()] == ["X.mlpackage"]
    states = [state for state, _ in itertools.groupby(seen)]
    assert states == ["old", "beside", "new"]
    assert len(seen) > 10


def test_what_a_kill_put_away_is_put_back_before_a_write_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "X.mlpackage"
    write_package(str(path), OLD)
    path.rename(tmp_path / f".X.mlpackage.mlsession-old-{'0' * 16}")
    with pytest.raises(StoreError):
        write_package(str(path), {MODEL: b"", f"{MODEL}/below a file": b"", MANIFEST: b""})
    assert contents(path) == OLD
    assert [each.name for each in tmp_path.iterdir()] == ["X.mlpackage"]


def test_what_others_keep_beside_a_package_stays(tmp_path: Path) -> None:
    names = [".Y.mlpackage.mlsession-new-0123456789abcdef", ".X.mlpackage.mlsession-new-x", "X.mlmodel"]
    for name in names:
        (tmp_path / name).mkdir()
    write_package(str(tmp_path / "X.mlpackage"), NEW)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*names, "X.mlpackage"])


class WatchedStore(MemoryStore):
    """Notes what was there before each write."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, set[str]]] = []

    def put(self, key: str, data: bytes) -> None:
        self.seen.append((key, {entry.key for entry in self.list()}))
        super().put(key, data)


def test_a_remote_package_has_no_manifest_while_it_is_written() -> None:
    store = WatchedStore()
    put_package(store, OLD)
    put_package(store, {**OLD, MODEL: b"another"})
    assert [key for key, _ in store.seen] == [WEIGHTS, MODEL, MANIFEST] * 2
    assert all(MANIFEST not in before for _, before in store.seen)


class LossyStore(MemoryStore):
    """Loses the last byte of what it is given."""

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data[:-1])


def test_a_store_that_keeps_something_else_is_noticed() -> None:
    store = LossyStore()
    with pytest.raises(DamagedData):
        put_package(store, NEW)
    assert MANIFEST not in {entry.key for entry in store.list()}
