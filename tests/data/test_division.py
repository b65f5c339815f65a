"""A source written as parts: names, collisions, what is there already, and every store."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mlsession.data.division import Division, copied_files, divide, folder_keys, write_manifests
from mlsession.data.index import ImageIndex
from mlsession.data.source import DataSource
from mlsession.data.sources.directories import index_labeled_directories
from mlsession.data.sources.listed import index_listed_files
from mlsession.errors import InvalidParameter, KeyMissing, StoreError, UnusableData
from mlsession.store import Entry, LocalStore, Store, open_store
from mlsession.store.reading import ReadPolicy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.5)


def make(root: Path, classes: str = "ab", each: int = 10) -> DataSource:
    for label in classes:
        (root / label).mkdir(parents=True)
        for row in range(each):
            (root / label / f"{row}.jpg").write_bytes(f"{label}{row}".encode())
    return DataSource.labeled_directories(root)


def halves(source: DataSource) -> Division:
    return divide(source, {"test": 0.5}, 0, ReadPolicy())


def written(division: Division, open_output: Callable[[], Store]) -> list[bool]:
    return list(copied_files(division, ReadPolicy(), open_output))


def contents(store: Store) -> dict[str, bytes]:
    with closing(store):
        return {entry.key: store.get(entry.key) for entry in store.list()}


def listed(*pairs: tuple[str, str]) -> ImageIndex:
    labels = dict(pairs)
    return index_listed_files([Entry(key=key, size=1, version="") for key in labels], labels, "x", min_classes=1)


@pytest.fixture(params=["local", "memory", "s3"])
def open_output(request: pytest.FixtureRequest, tmp_path: Path, s3_server: S3Server) -> Callable[[], Store]:
    """An empty output in each kind of store."""
    options = s3_server.storage_options if request.param == "s3" else None
    urls = {"local": str(tmp_path / "out"), "memory": f"memory://{uuid.uuid4().hex}"}
    url = urls.get(request.param) or s3_server.new_bucket_url()
    return lambda: open_store(url, options)


def test_parts_are_copied_and_the_same_again_changes_nothing(tmp_path: Path, open_output: Callable[[], Store]) -> None:
    source = make(tmp_path / "photos")
    division = divide(source, {"test": 0.2, "validation": 0.1}, 3, ReadPolicy())
    assert division.parts == ("train", "validation", "test")
    assert division.counts.tolist() == [[7, 1, 2], [7, 1, 2]]
    assert written(division, open_output) == [True] * 20
    found = contents(open_output())
    assert sorted(found.values()) == sorted(f"{label}{row}".encode() for label in "ab" for row in range(10))
    assert all(key.split("/")[1] == data.decode()[0] for key, data in found.items())
    with closing(open_output()) as store:
        store.delete(min(found))
    assert sorted(written(division, open_output)) == [False] * 19 + [True]
    assert contents(open_output()) == found
    assert len(list((tmp_path / "photos").rglob("*.jpg"))) == 20


def test_from_a_bucket(tmp_path: Path, s3_server: S3Server) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    with closing(open_store(bucket, options)) as store:
        for label in "ab":
            for row in range(4):
                store.put(f"all/{label}.{row}.jpg", f"{label}{row}".encode())
    source = DataSource.labeled_files(f"{bucket}/all", storage_options=options)
    division = halves(source)
    assert all(written(division, lambda: open_store(f"{bucket}/parts", options)))
    assert all(written(division, lambda: LocalStore(tmp_path)))
    with closing(open_store(f"{bucket}/parts", options)) as store:
        assert contents(store) == contents(LocalStore(tmp_path))
    test = DataSource.labeled_directories(f"{bucket}/parts/test", options).index()
    assert test.class_counts.tolist() == [2, 2]
    assert test.keys[0].startswith("a/a.")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("train/a/foreign.jpg", b"x", "train/a/foreign.jpg is not of this split; nothing was copied"),
        ("validation/a/0.jpg", b"a0", "validation/a/0.jpg is not of this split"),
        ("train/{}", b"other size", "train/{} has other contents; nothing was copied"),
    ],
)
def test_an_output_with_other_files_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    source = make(tmp_path / "photos")
    division = halves(source)
    key = division.index.keys[int(np.flatnonzero(division.places == 0)[0])]
    store = LocalStore(tmp_path / "out")
    store.put(name.format(key), data)
    before = contents(store)
    with pytest.raises(UnusableData, match=reason.format(key)):
        written(division, lambda: LocalStore(tmp_path / "out"))
    assert contents(store) == before


def test_files_beside_the_parts_and_hidden_ones_are_left(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    for key in ("README.md", "trained/a/1.jpg", "train/.DS_Store"):
        store.put(key, b"mine")
    assert all(written(halves(make(tmp_path / "photos")), lambda: LocalStore(tmp_path / "out")))
    assert contents(store)["train/.DS_Store"] == b"mine"


def test_another_file_of_the_same_size_is_not_overwritten(tmp_path: Path) -> None:
    division = halves(make(tmp_path / "photos"))
    key = division.index.keys[int(np.flatnonzero(division.places == 1)[0])]
    LocalStore(tmp_path / "out").put(f"test/{key}", b"??")
    with pytest.raises(UnusableData, match=f"test/{key} has other contents"):
        written(division, lambda: LocalStore(tmp_path / "out"))
    assert (tmp_path / "out" / "test" / key).read_bytes() == b"??"


class Corrupting(LocalStore):
    """A disk that stores something else than it was sent."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        super().put_if_absent(key, data[:-1] + b"!")


class Folding(LocalStore):
    """A disk that does not tell capital letters from small ones."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        super().put_if_absent(key.lower(), data)

    def get(self, key: str) -> bytes:
        return super().get(key.lower())


def test_every_copy_is_compared(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="was not stored as it was sent"):
        written(halves(make(tmp_path / "photos")), lambda: Corrupting(tmp_path / "out"))


def test_classes_that_a_disk_runs_together_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does the disk tell cases apart"):
        written(halves(make(tmp_path / "photos", "aB")), lambda: Folding(tmp_path / "out"))


def test_a_file_that_goes_meanwhile_is_an_error(tmp_path: Path) -> None:
    source = make(tmp_path / "photos")
    division = halves(source)
    (tmp_path / "photos" / "b" / "9.jpg").unlink()
    with pytest.raises(KeyMissing, match=r"b/9\.jpg"):
        written(division, lambda: LocalStore(tmp_path / "out"))


def test_folders_of_labels() -> None:
    assert folder_keys(listed(("a/1.jpg", "a"), ("b/c/2.jpg", "b"))) == ["a/1.jpg", "b/c/2.jpg"]
    assert folder_keys(listed(("a.1.jpg", "a"), ("a/1.jpg", "a"))) == ["a/a.1.jpg", "a/a/1.jpg"]
    assert folder_keys(listed(("x/1.jpg", "a"), ("y/1.jpg", "a"))) == ["a/x/1.jpg", "a/y/1.jpg"]


@pytest.mark.parametrize(
    ("key", "label", "reason"),
    [
        ("1.jpg", "a/b", "its label holds a slash"),
        ("1.jpg", ".a", "hidden files and folders are left out"),
        (".x/1.jpg", "a", "hidden files and folders are left out"),
        ("1", "a", "it is not named like an image"),
        ("1.jpg", "what?", "Windows forbids in file names"),
        ("1.jpg", "a.", "Windows drops"),
    ],
)
def test_what_cannot_be_a_folder_of_images_is_named(key: str, label: str, reason: str) -> None:
    with pytest.raises(UnusableData, match=rf"^{key}: cannot be copied into .*{reason}; .*--manifest"):
        folder_keys(listed((key, label)))


@pytest.mark.parametrize(
    "shares", [{"test": 0.0}, {"test": 1.0}, {"test": float("nan")}, {"test": 0.5, "validation": 0.5}]
)
def test_shares_that_leave_nothing(tmp_path: Path, shares: dict[str, float]) -> None:
    source = make(tmp_path / "photos")
    with pytest.raises(InvalidParameter, match="test="):
        divide(source, shares, 0, ReadPolicy())


def test_training_has_every_label(tmp_path: Path) -> None:
    division = halves(make(tmp_path / "photos", "abcdef", each=1))
    assert division.counts.tolist() == [[1, 0]] * 6
    assert all(written(division, lambda: LocalStore(tmp_path / "out")))


def test_manifests_name_the_same_parts(tmp_path: Path, s3_server: S3Server) -> None:
    source = make(tmp_path / "photos")
    division = halves(source)
    outputs = [str(tmp_path / "elsewhere"), str(tmp_path), str(tmp_path / "photos")]
    for output in outputs:
        assert write_manifests(division, output, lambda: LocalStore(output)) == ["train.csv", "test.csv"]  # noqa: B023
        before = contents(LocalStore(tmp_path))
        write_manifests(division, output, lambda: LocalStore(output))  # noqa: B023
        assert contents(LocalStore(tmp_path)) == before
        parts = [DataSource.manifest(f"{output}/{name}.csv").labeled_images() for name in ("train", "test")]
        found = {path for part in parts for paths in part.values() for path in paths}
        assert found == {path for paths in source.labeled_images().values() for path in paths}
        assert [len(part["a"]) for part in parts] == [5, 5]
    assert (tmp_path / "train.csv").read_text().splitlines()[1].startswith("photos/a/")
    (tmp_path / "test.csv").write_text("mine")
    with pytest.raises(UnusableData, match=r"test\.csv has other contents"):
        write_manifests(division, str(tmp_path), lambda: LocalStore(tmp_path))
    assert (tmp_path / "test.csv").read_text() == "mine"


KILLED = """
import os, signal, sys
from mlsession.cli.__main__ import run
from mlsession.store.local import LocalStore

create, left = LocalStore.put_if_absent, [int(sys.argv[1])]

def counted(store, key, data):
    create(store, key, data)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

LocalStore.put_if_absent = counted
sys.exit(run(["split", "photos", "--output", "out"]))
"""


def test_a_killed_split_is_completed_by_the_same_again(tmp_path: Path) -> None:
    source = make(tmp_path / "photos", each=60)
    process = subprocess.run([sys.executable, "-c", KILLED, "13"], cwd=tmp_path, capture_output=True, timeout=120)
    assert process.returncode == -9, process.stderr
    assert 13 <= len(contents(LocalStore(tmp_path / "out"))) < 120
    process = subprocess.run([sys.executable, "-c", KILLED, "1000"], cwd=tmp_path, capture_output=True, timeout=120)
    assert process.returncode == 0, process.stderr
    division = divide(source, {"test": 0.2}, 0, ReadPolicy())
    assert all(written(division, lambda: LocalStore(tmp_path / "whole")))
    assert contents(LocalStore(tmp_path / "out")) == contents(LocalStore(tmp_path / "whole"))


def test_what_was_copied_is_found_by_training(tmp_path: Path) -> None:
    division = halves(make(tmp_path / "photos"))
    list(copied_files(division, ReadPolicy(), lambda: LocalStore(tmp_path / "out")))
    found = [index_labeled_directories(LocalStore(tmp_path / "out" / part).list(), (), "x") for part in division.parts]
    assert [index.class_counts.tolist() for index in found] == [[5, 5], [5, 5]]
