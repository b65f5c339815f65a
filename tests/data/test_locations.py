"""One folder and a key for each of many files, in any store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlsession.data.locations import (
    common_folder,
    full_location,
    is_relative,
    keys_below,
    location_below,
    parts_below,
)
from mlsession.errors import InvalidParameter


@pytest.mark.parametrize(
    ("locations", "folder", "keys"),
    [
        (["/a/x.jpg", "/a/c/d/y.jpg"], "/a", ["x.jpg", "c/d/y.jpg"]),
        (["/x.jpg", "/a/y.jpg"], "/", ["x.jpg", "a/y.jpg"]),
        (["/a/b.c/x.jpg"], "/a/b.c", ["x.jpg"]),
        (["/a/bc/x.jpg", "/a/bd/x.jpg"], "/a", ["bc/x.jpg", "bd/x.jpg"]),
        (["s3://b/a/x.jpg", "s3://b/a/c/d/y.jpg"], "s3://b/a", ["x.jpg", "c/d/y.jpg"]),
        (["s3://b/ac/x.jpg", "s3://b/ad/y.jpg"], "s3://b", ["ac/x.jpg", "ad/y.jpg"]),
        (["memory://x.jpg", "memory://a/y.jpg"], "memory://", ["x.jpg", "a/y.jpg"]),
        (
            ["zip://x.jpg::s3://b/all.zip", "zip://c/y.jpg::s3://b/all.zip"],
            "zip://::s3://b/all.zip",
            ["x.jpg", "c/y.jpg"],
        ),
    ],
)
def test_the_common_folder(locations: list[str], folder: str, keys: list[str]) -> None:
    assert common_folder(locations) == folder
    assert keys_below(folder, locations) == keys


@pytest.mark.parametrize(
    "locations",
    [
        ["s3://b/x.jpg", "s3://c/x.jpg"],
        ["s3://b/x.jpg", "/b/x.jpg"],
        ["memory://b/x.jpg", "s3://b/x.jpg"],
        ["zip://a.jpg::s3://b/1.zip", "zip://a.jpg::s3://b/2.zip"],
        ["zip://a.jpg::s3://b/1.zip", "s3://b/x.jpg"],
    ],
)
def test_files_of_two_stores_have_none(locations: list[str]) -> None:
    with pytest.raises(InvalidParameter, match="lie in different stores"):
        common_folder(locations)


def test_messages_hold_no_credentials() -> None:
    with pytest.raises(InvalidParameter) as caught:
        common_folder(["s3://KEY:SECRET@b/x.jpg", "s3://KEY:SECRET@c/x.jpg"])
    assert "SECRET" not in str(caught.value)


def test_a_bucket_is_no_file() -> None:
    with pytest.raises(InvalidParameter, match="name a file"):
        common_folder(["s3://bucket"])


def test_files_outside_of_a_folder_have_no_key() -> None:
    assert keys_below("/a", ["/a/1.jpg", "/ab/1.jpg", "/1.jpg"]) == ["1.jpg", None, None]
    assert keys_below("s3://b/a", ["s3://b/a/c/1.jpg", "s3://b/ab/1.jpg", "s3://b/1.jpg"]) == ["c/1.jpg", None, None]


def test_local_paths_become_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert full_location("a/./b/../1.jpg") == str(tmp_path / "a" / "1.jpg")
    assert full_location(f"file://{tmp_path}/1.jpg") == str(tmp_path / "1.jpg")
    assert full_location("s3://b/a/../1.jpg") == "s3://b/a/../1.jpg"
    for wrong in ("", "a\udcff"):
        with pytest.raises(InvalidParameter, match="path="):
            full_location(wrong)


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("/data/splits", "../animals/1.jpg", "/data/animals/1.jpg"),
        ("/data", "~/1.jpg", "/data/~/1.jpg"),
        ("s3://b/splits", "../animals/./1.jpg", "s3://b/animals/1.jpg"),
        ("s3://b/splits/", "1.jpg", "s3://b/splits/1.jpg"),
        ("s3://b/all/splits", "..", "s3://b/all"),  # Nothing is left below the folder above.
        ("zip://splits::s3://b/all.zip", "../1.jpg", "zip://1.jpg::s3://b/all.zip"),
    ],
)
def test_relative_paths_begin_at_a_folder(folder: str, path: str, expected: str) -> None:
    assert location_below(folder, path) == expected


@pytest.mark.parametrize("folder", ["s3://b/splits", "zip://splits::s3://b/all.zip"])
def test_a_path_does_not_leave_its_store(folder: str) -> None:
    with pytest.raises(InvalidParameter, match="leads out of the store"):
        location_below(folder, "../../../1.jpg")


def test_what_is_relative() -> None:
    assert all(map(is_relative, ("1.jpg", "~/1.jpg", "../1.jpg", "a:b/1.jpg")))
    assert not any(map(is_relative, ("/1.jpg", "s3://b/1.jpg", "file:///1.jpg", os.path.abspath("1.jpg"))))  # noqa: PTH100


def test_parts_below() -> None:
    assert parts_below("/a/b/c", "/a") == ["b", "c"]
    assert parts_below("s3://b/a/c/", "s3://b/a/") == ["c"]
    for url, folder in (("/a", "/a"), ("/ab", "/a"), ("/a", "/a/b"), ("s3://b/a", "/b")):
        assert parts_below(url, folder) == []
