"""Manifests: what is read, what is refused with its line, and that what is written reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.manifest import (
    manifest_bytes,
    manifest_folder,
    manifest_labels,
    manifest_path,
    read_manifest,
)
from mlsession.data.rows import Row, parse_rows
from mlsession.errors import UnusableData


def labels_of(text: str, base: str = "/data") -> tuple[str, dict[str, str]]:
    rows = parse_rows(text.encode(), "m.csv")
    folder = manifest_folder(rows, base, "m.csv")
    return folder, manifest_labels(rows, base, folder, "m.csv")


def test_what_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = tmp_path / "m.csv", b"path,label\na.jpg,cat\n"
    path.write_bytes(data)
    monkeypatch.setattr("mlsession.data.tables.MOST_BYTES", len(data))
    assert read_manifest(str(path), None) == [Row(2, "a.jpg", "cat")]
    path.write_bytes(data + b"\n")
    with pytest.raises(UnusableData, match=r"m\.csv: it has more than 21 bytes, which no table of images has; check"):
        read_manifest(str(path), None)


def test_what_is_read() -> None:
    text = '\ufeffLabel, path ,by\r\ncat,a/1.jpg,Ann\r\n\r\n"dog, left","b/""2"".jpg",\r\n" owl ","c\n3.jpg",Bo\r\n'
    assert parse_rows(text.encode(), "m.csv") == [
        Row(2, "a/1.jpg", "cat"),
        Row(4, 'b/"2".jpg', "dog, left"),
        Row(6, "c\n3.jpg", " owl "),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "line 1 must be a header with one column 'path', and it is empty"),
        (b"a/1.jpg,cat\n", "line 1 must be a header with one column 'path', and it is 'a/1.jpg,cat'"),
        (b"path,class\na/1.jpg,cat\n", "one column 'label'"),
        (b"path,label,label\na/1.jpg,cat,cat\n", "one column 'label'"),
        (b"path;label\na/1.jpg;cat\n", "separate the columns by commas"),
        (b"path,label\n", "names no images"),
        (b"path,label\na/1.jpg,cat\na,2.jpg,cat\n", "line 3 has 3 fields, and the header has 2; quote"),
        (b"path,label\na/1.jpg\n", "line 2 has 1 fields"),
        (b"path,label\na/1.jpg,cat\na/2.jpg, \n", "line 3 has no label"),
        (b"path,label\n,cat\n", "line 2 has no path"),
        (b'path,label\na/1.jpg,cat\n"a/2.jpg"x,cat\n', "line 3 is not CSV: .*see to its quotes"),
        (b'path,label\n"a/1.jpg,cat\n', "line 2 is not CSV"),
        ("path,label\na,b\né.jpg,cat\n".encode("latin-1"), "line 3 is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableData, match=f"^m.csv: .*{reason}"):
        parse_rows(data, "m.csv")


def test_relative_paths_begin_at_the_manifest() -> None:
    assert labels_of("path,label\n./a/1.jpg,x\na//2.jpg,y\n~3.jpg,x\n") == (
        "/data",
        {"a/1.jpg": "x", "a/2.jpg": "y", "~3.jpg": "x"},
    )
    assert labels_of("path,label\na//2.jpg,y\n", "s3://b") == ("s3://b", {"a//2.jpg": "y"})


def test_other_paths_have_a_folder_in_common() -> None:
    assert labels_of("path,label\n../a/1.jpg,x\n../b/2.jpg,y\n", "/data/m") == (
        "/data",
        {"a/1.jpg": "x", "b/2.jpg": "y"},
    )
    assert labels_of("path,label\n/photos/1.jpg,x\n2.jpg,y\n") == ("/", {"photos/1.jpg": "x", "data/2.jpg": "y"})
    assert labels_of("path,label\ns3://b/c/1.jpg,x\ns3://b/c/d/2.jpg,y\n") == (
        "s3://b/c",
        {"1.jpg": "x", "d/2.jpg": "y"},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a/1.jpg,x\na/1.jpg,x\n", "line 3 names 'a/1.jpg', and so does line 2; remove one"),
        ("a/1.jpg,x\n./a/1.jpg,y\n", "line 3 names './a/1.jpg', and so does line 2 with the label 'x'"),
        ("a/1.jpg,x\n/data/a/1.jpg,y\n", "line 3 names '/data/a/1.jpg', and so does line 2"),
        ("a/1.jpg,x\ns3://b/1.jpg,y\n", "lie in different stores"),
    ],
)
def test_images_named_twice_or_apart(text: str, reason: str) -> None:
    with pytest.raises(UnusableData, match=f"m.csv: .*{reason}"):
        labels_of(f"path,label\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        "path,label\ns3://KEY:SECRET@b/c/1.jpg,x\ns3://KEY:SECRET@b/c/1.jpg,y\n",
        "https://host/1.jpg?sig=SECRET,x\nhttps://host/2.jpg?sig=SECRET,x\n",  # Without a header.
    ],
)
def test_messages_hold_no_credentials(text: str) -> None:
    with pytest.raises(UnusableData) as error:
        labels_of(text)
    assert "SECRET" not in str(error.value)
    assert ".jpg" in str(error.value)


def test_the_line_of_an_image_that_left_the_folder_is_named() -> None:
    rows = [Row(2, "/photos/1.jpg", "x"), Row(3, "/others/1.jpg", "y")]
    with pytest.raises(UnusableData, match=r"line 3 names '/others/1\.jpg', which does not lie in /photos like"):
        manifest_labels(rows, "/data", "/photos", "m.csv")
    with pytest.raises(UnusableData, match=r"line 2 names '../../1.jpg', which leads out of the store"):
        labels_of("path,label\n../../1.jpg,x\n", "s3://b/a")


fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(fields, fields)))
def test_what_is_written_reads_back(rows: list[tuple[str, str]]) -> None:
    data = manifest_bytes([("first", "x"), *rows])
    assert [(row.path, row.label) for row in parse_rows(data, "m.csv")] == [("first", "x"), *rows]


keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(keys.filter(lambda key: not {"", ".", ".."} & set(key.split("/"))))
def test_a_written_path_names_the_same_image(key: str) -> None:
    for folder, output in (("/data", "/data"), ("/data/x", "/data"), ("s3://b/x", "s3://b"), ("s3://b/x", "/data")):
        path = manifest_path(folder, key, output)
        rows = [Row(2, path, "x")]
        base = output
        root = manifest_folder(rows, base, "m.csv")
        (found,) = manifest_labels(rows, base, root, "m.csv")
        assert f"{root}/{found}" == f"{folder}/{key}"


def test_written_paths() -> None:
    assert manifest_path("/data", "a/1.jpg", "/data") == "a/1.jpg"
    assert manifest_path("/data/photos", "a/1.jpg", "/data") == "photos/a/1.jpg"
    assert manifest_path("/data", "a/1.jpg", "/splits") == "/data/a/1.jpg"
    assert manifest_path("s3://KEY:SECRET@b/data", "a/1.jpg", "/splits") == "s3://b/data/a/1.jpg"
    assert manifest_path("s3://b", "xy://z.jpg", "s3://b/") == "./xy://z.jpg"
    for sign in "=+-@":  # No spreadsheet may take a name for a formula.
        assert manifest_path("/data", f"{sign}1+1/a.jpg", "/data") == f"./{sign}1+1/a.jpg"
