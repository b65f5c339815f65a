"""Labelled directories: what counts as an image and as a class, on real folders and stores."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.source import DataSource, index_labeled_directories
from mlsession.errors import InvalidParameter, StoreError, UnusableData
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Json
from mlsession.store import Entry
from tests.servers.s3 import S3Server


def make(root: Path, *keys: str) -> Path:
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    return root


def entries(*keys: str) -> list[Entry]:
    return [Entry(key=key, size=len(key), version=f"v{key}") for key in keys]


def test_a_local_folder(tmp_path: Path) -> None:
    root = make(tmp_path / "animals", "dog/1.jpg", "cat/b.PNG", "cat/a.jpeg", "cat/more/even/c.webp")
    index = DataSource.labeled_directories(root).index()
    assert index.classes == ("cat", "dog")
    assert index.keys == ("cat/a.jpeg", "cat/b.PNG", "cat/more/even/c.webp", "dog/1.jpg")
    assert index.labels.tolist() == [0, 0, 0, 1]
    assert index.sizes.tolist() == [len(key) for key in index.keys]
    assert index.class_counts.tolist() == [3, 1]
    assert all(index.versions)


def test_reads_what_it_lists(tmp_path: Path) -> None:
    source = DataSource.labeled_directories(make(tmp_path, "a/é 1.jpg", "b/2.jpg"))
    store = source.open()
    assert [store.get(key) for key in source.index().keys] == ["a/é 1.jpg".encode(), b"b/2.jpg"]
    store.close()


def test_what_is_left_out_silently_and_what_is_counted() -> None:
    index = index_labeled_directories(
        entries(
            "a/1.jpg",
            "b/1.jpg",
            *("a/.hidden.jpg", ".git/x.jpg", "a/.thumbnails/1.jpg", "__MACOSX/a/1.jpg", "a/Thumbs.db", "b/desktop.ini"),
            *("loose.jpg", "README.md", "a/notes.txt", "b/archive.jpg.zip", "b/jpg"),
        ),
        folders=(),
        source="x",
    )
    assert index.keys == ("a/1.jpg", "b/1.jpg")
    assert index.classes == ("a", "b")
    assert index.ignored == 5


def test_labels_are_taken_as_they_are() -> None:
    index = index_labeled_directories(
        entries("caf\u00e9/1.jpg", "cafe\u0301/1.jpg", "Cat/1.jpg", "cat/1.jpg", "st. bernard /1.jpg"), (), "x"
    )
    assert index.classes == ("Cat", "cafe\u0301", "caf\u00e9", "cat", "st. bernard ")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text("abé/ .", max_size=6), st.integers(0, 3)), min_size=1), st.integers(0, 1000))
def test_the_order_of_the_listing_does_not_matter(names: list[tuple[str, int]], seed: int) -> None:
    keys = {f"class{label}/{name}x.jpg" for name, label in names} | {"class8/x.jpg", "class9/x.jpg"}
    listed = entries(*sorted(keys))
    shuffled = [listed[place] for place in keyed_generator(seed, "order").permutation(len(listed))]
    one, two = (index_labeled_directories(order, (), "x") for order in (listed, shuffled))
    assert one.keys == two.keys == tuple(sorted(one.keys))
    assert one.digest == two.digest
    assert [one.classes[label] for label in one.labels] == [key.split("/")[0] for key in one.keys]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"nowhere: there is no such folder; check the path$"):
        DataSource.labeled_directories(tmp_path / "nowhere").index()


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="this is a file"):
        DataSource.labeled_directories(make(tmp_path, "a.jpg") / "a.jpg").index()


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="no images"):
        DataSource.labeled_directories(make(tmp_path, "loose.jpg")).index()


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.jpg", "b/1.jpg")
    (root / "owl").mkdir()
    (root / ".hidden").mkdir()
    with pytest.raises(UnusableData, match="the folder 'owl' holds no image;"):
        DataSource.labeled_directories(root).index()


def test_a_class_folder_without_images_is_named() -> None:
    with pytest.raises(UnusableData, match=r"the folder 'c' holds no image \(nor do 1 others\)"):
        index_labeled_directories(entries("a/1.jpg", "b/1.jpg", "c/notes.txt", "d/x.mov"), (), "x")


def test_one_class_is_too_few_to_train_but_not_to_test() -> None:
    with pytest.raises(UnusableData, match="the only class is 'a'"):
        index_labeled_directories(entries("a/1.jpg", "a/2.jpg"), (), "x")
    assert len(index_labeled_directories(entries("a/1.jpg", "a/2.jpg"), (), "x", min_classes=1)) == 2


def test_a_name_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnusableData, match="not valid Unicode"):
        index_labeled_directories(entries("a/1\udcff.jpg", "b/2.jpg"), (), "x")


def test_a_bucket(s3_server: S3Server) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    source = DataSource.labeled_directories(f"{bucket}/animals", options)
    store = source.open()
    for key in ("dog/1.jpg", "cat/deep/2.jpg", "cat/notes.txt"):
        store.put(key, key.encode())
    index = source.index()
    assert index.keys == ("cat/deep/2.jpg", "dog/1.jpg")
    assert index.ignored == 1
    assert store.get(index.keys[0]) == b"cat/deep/2.jpg"
    store.close()
    with pytest.raises(UnusableData, match=f"{bucket}/nothing: there are no images"):
        DataSource.labeled_directories(f"{bucket}/nothing", options).index()


def test_a_missing_bucket(s3_server: S3Server) -> None:
    source = DataSource.labeled_directories("s3://no-such-bucket-here/x", s3_server.storage_options)
    with pytest.raises(StoreError, match="no-such-bucket-here' does not exist"):
        source.index()


def test_a_local_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = DataSource.labeled_directories("animals")
    assert source.url == str(tmp_path / "animals")
    assert source == DataSource.labeled_directories(Path(os.curdir) / "animals")


def test_credentials_are_neither_shown_nor_stored() -> None:
    source = DataSource.labeled_directories("s3://KEY:SECRET@bucket/x", {"secret": "HIDDEN"})
    for text in (repr(source), str(source), str(source.to_json())):
        assert "SECRET" not in text
        assert "HIDDEN" not in text
        assert "bucket/x" in text


def test_stored_form_goes_round() -> None:
    source = DataSource.labeled_directories("s3://bucket/x", {"anon": True})
    again = DataSource.from_json(source.to_json(), {"anon": False})
    assert again == source
    assert again.storage_options == {"anon": False}
    assert DataSource.from_json(source.to_json()).storage_options is None


@pytest.mark.parametrize("data", [{}, {"kind": "other", "url": "x"}, {"kind": "labeled_directories", "url": 3}])
def test_refuses_another_stored_form(data: dict[str, Json]) -> None:
    with pytest.raises(InvalidParameter):
        DataSource.from_json(data)


def test_refuses_an_empty_url() -> None:
    with pytest.raises(InvalidParameter, match="url"):
        DataSource.labeled_directories("")


def test_labels_are_read_only() -> None:
    index = index_labeled_directories(entries("a/1.jpg", "b/2.jpg"), (), "x")
    with pytest.raises(ValueError, match="read-only"):
        np.add(index.labels, 1, out=index.labels)
