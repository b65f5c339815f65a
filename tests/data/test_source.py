"""Labelled directories: what counts as an image and as a class, on real folders and stores."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.source import DataSource
from mlsession.data.sources.directories import index_labeled_directories
from mlsession.data.sources.listed import index_listed_files
from mlsession.errors import InvalidParameter, StoreError, UnusableData
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Json
from mlsession.store import Entry, join_url
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


def test_a_flat_folder(tmp_path: Path) -> None:
    root = make(
        tmp_path / "animals", "cat.1.jpg", "dog.2.png", "cat.b.jpg", "more/cat.3.jpg", "notes.txt", ".dog.3.jpg"
    )
    source = DataSource.labeled_files(root)
    index = source.index()
    assert index.keys == ("cat.1.jpg", "cat.b.jpg", "dog.2.png")
    assert index.ignored == 2
    assert source.labeled_images() == {
        "cat": [str(root / "cat.1.jpg"), str(root / "cat.b.jpg")],
        "dog": [str(root / "dog.2.png")],
    }
    assert DataSource.labeled_files(make(tmp_path / "folds", "f1-a-x.jpg", "f2-b.jpg"), "-", 1).index().classes == (
        "a",
        "b",
    )
    with pytest.raises(UnusableData, match="no such folder"):
        DataSource.labeled_files(tmp_path / "nowhere").index()
    with pytest.raises(UnusableData, match="this is a file, not a folder"):
        DataSource.labeled_files(root / "cat.1.jpg").index()


def test_files_by_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path, "a/1.jpg", "a/2", "b/c/.3.jpg", "b/4.jpg", "other/9.jpg")
    monkeypatch.chdir(root / "a")
    source = DataSource.files_by_label({"cat": ["1.jpg", root / "b" / "c" / ".3.jpg"], "dog": ("../a/2", "../b/4.jpg")})
    index = source.index()
    assert source.url == str(root)
    assert index.keys == ("a/1.jpg", "a/2", "b/4.jpg", "b/c/.3.jpg")
    assert [index.classes[label] for label in index.labels] == ["cat", "dog", "dog", "cat"]
    folders = DataSource.labeled_directories(root).index(min_classes=1)
    assert [index.versions[index.keys.index(key)] for key in ("a/1.jpg", "b/4.jpg")] == [
        folders.versions[folders.keys.index(key)] for key in ("a/1.jpg", "b/4.jpg")
    ]
    with closing(source.open()) as store:
        assert store.get("b/c/.3.jpg") == b"b/c/.3.jpg"
    (root / "a" / "2").unlink()
    with pytest.raises(UnusableData, match="the file 'a/2' is not there"):
        source.index()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "names no images"),
        ({"cat": []}, "names no images"),
        ({"cat": ["a.jpg", "x/../a.jpg"]}, "is named twice; name each image once"),
        ({"cat": ["a.jpg"], "dog": ["./a.jpg"]}, "is named with two labels, 'cat' and 'dog'"),
        ({"cat": ["a.jpg"], "dog": ["s3://b/a.jpg"]}, "lie in different stores"),
        ({"cat": "s3://KEY:SECRET@b/a.jpg"}, "^files=.cat.: has one path; give a list of paths for each label$"),
        ({" ": ["a.jpg"]}, "a label is text that is not blank"),
        ({3: ["a.jpg"]}, "files=3: is no label"),
        ({"\udcff": ["a.jpg"]}, "not valid Unicode"),
        ({"cat": [""]}, "is empty"),
    ],
)
def test_lists_that_make_no_source(files: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        DataSource.files_by_label(files)


def test_a_manifest(tmp_path: Path) -> None:
    make(tmp_path, "photos/a/1.jpg", "photos/2.jpg", "photos/left out.jpg")
    path = tmp_path / "photos" / "all.CSV"
    path.write_text("path,label\na/1.jpg,cat\n2.jpg,dog\n")
    source = DataSource.manifest(path)
    assert source.url == str(tmp_path / "photos")
    assert source.index().keys == ("2.jpg", "a/1.jpg")
    assert source.labeled_images()["cat"] == [str(tmp_path / "photos" / "a" / "1.jpg")]
    elsewhere = tmp_path / "all.csv"
    elsewhere.write_bytes(path.read_bytes())
    other = DataSource.manifest(elsewhere, root=tmp_path / "photos")
    assert other.index().digest == source.index().digest
    with pytest.raises(UnusableData, match=r"'2\.jpg' is not there"):
        DataSource.manifest(elsewhere).index()
    elsewhere.write_text("path,label\na/1.jpg,dog\n2.jpg,dog\n")
    assert source.index().compare(other.index(min_classes=1)).relabeled == ("a/1.jpg",)
    with pytest.raises(UnusableData, match=r"nowhere\.csv: there is no such file; check the path"):
        DataSource.manifest(tmp_path / "nowhere.csv")
    elsewhere.write_text("path,label\n2.jpg,dog\n2.jpg,cat\n")
    with pytest.raises(UnusableData, match=r"all\.csv: line 3 names '2\.jpg', and so does line 2 with the label 'dog'"):
        DataSource.manifest(elsewhere)


def test_every_kind_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    with closing(DataSource.labeled_directories(f"{bucket}/animals", options).open()) as store:
        for key in ("cat.1.jpg", "dog.2.jpg", "deep/cat.3.jpg", "notes.txt"):
            store.put(key, key.encode())
        store.put("all.csv", b"path,label\ncat.1.jpg,cat\ndeep/cat.3.jpg,dog\n")
    (tmp_path / "all.csv").write_text(f"path,label\n{bucket}/animals/cat.1.jpg,cat\n{bucket}/animals/dog.2.jpg,dog\n")
    flat = DataSource.labeled_files(f"{bucket}/animals", storage_options=options)
    listed = DataSource.files_by_label(
        {"x": [f"{bucket}/animals/cat.1.jpg"], "y": [f"{bucket}/animals/deep/cat.3.jpg"]}, options
    )
    near, far = (
        DataSource.manifest(url, storage_options=options) for url in (f"{bucket}/animals/all.csv", tmp_path / "all.csv")
    )
    assert {source.url for source in (flat, listed, near, far)} == {f"{bucket}/animals"}
    assert flat.index().digest == far.index().digest
    assert (flat.index().keys, flat.index().ignored) == (("cat.1.jpg", "dog.2.jpg"), 3)
    assert listed.index().keys == near.index().keys == ("cat.1.jpg", "deep/cat.3.jpg")
    assert near.labeled_images() == {
        "cat": [f"{bucket}/animals/cat.1.jpg"],
        "dog": [f"{bucket}/animals/deep/cat.3.jpg"],
    }


def test_every_kind_in_memory_and_in_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for key in ("photos/cat/1.jpg", "photos/dog/2.jpg", "photos/cat.3.jpg", "photos/dog.4.jpg"):
            file.writestr(key, key)
        file.writestr("photos/all.csv", "path,label\ncat.3.jpg,cat\ndog/2.jpg,dog\n")
    memory = DataSource.labeled_directories(f"memory://{tmp_path.name}-photos")
    with closing(memory.open()) as store, zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            store.put(name.removeprefix("photos/"), file.read(name))
    for root, url in ((memory.url, "{}"), (f"zip://photos::{archive}", f"zip://photos/{{}}::{archive}")):
        folders = DataSource.labeled_directories(root)
        assert folders.index().keys == ("cat/1.jpg", "dog/2.jpg")
        assert DataSource.labeled_files(root).index().keys == ("cat.3.jpg", "dog.4.jpg")
        names = [join_url(root, name) for name in ("cat/1.jpg", "dog.4.jpg", "all.csv")]
        assert root == memory.url or names[0] == url.format("cat/1.jpg")
        assert DataSource.files_by_label({"x": names[:1], "y": names[1:2]}).index().keys == ("cat/1.jpg", "dog.4.jpg")
        manifest = DataSource.manifest(names[2])
        assert manifest.index().keys == ("cat.3.jpg", "dog/2.jpg")
        with closing(manifest.open()) as store:
            assert store.get("dog/2.jpg") == b"photos/dog/2.jpg"
        train, test = folders.stratified_split([0.5, 0.5], by="content")
        assert (len(train.index()), test.labeling.to_json()) == (2, {})


def test_stratified_parts(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{label}/{row}.jpg" for label in ("cat", "dog") for row in range(10)))
    source = DataSource.labeled_directories(root, {"unused": True})
    parts = source.stratified_split([0.6, 0.3, 0.1])
    images = [part.labeled_images() for part in parts]
    assert [[len(part[label]) for label in ("cat", "dog")] for part in images] == [[6, 6], [3, 3], [1, 1]]
    for label, paths in source.labeled_images().items():
        assert sorted(path for part in images for path in part[label]) == paths
    assert all((part.url, part.storage_options) == (source.url, {"unused": True}) for part in parts)
    assert source.stratified_split([0.6, 0.3, 0.1]) == parts
    assert source.stratified_split([0.6, 0.3, 0.1], seed=1) != parts
    # The same keys by another rule are divided alike.
    again = DataSource.files_by_label(source.labeled_images()).stratified_split([0.6, 0.3, 0.1])
    assert [part.index().keys for part in again] == [part.index().keys for part in parts]
    sample, none = source.stratified_split([0.2, 0])
    assert len(sample.index()) == 4
    with pytest.raises(UnusableData, match="no images in this list"):
        none.index()
    with pytest.raises(InvalidParameter, match="proportions="):
        source.stratified_split([0.8, 0.3])
    with pytest.raises(InvalidParameter, match="by="):
        source.stratified_split([1], by="size")  # type: ignore[arg-type]


def test_copies_stay_in_one_part_if_contents_are_looked_at(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{label}/{row}.jpg" for label in ("cat", "dog") for row in range(20)))
    for row in range(20):
        (root / "dog" / f"{row}.jpg").write_bytes(f"{row % 5}".encode())
    source = DataSource.labeled_directories(root)

    def contents(part: DataSource) -> set[bytes]:
        return {Path(path).read_bytes() for paths in part.labeled_images().values() for path in paths}

    train, test = source.stratified_split([0.7, 0.3])
    assert contents(train) & contents(test)
    train, test = source.stratified_split([0.7, 0.3], by="content")
    assert not contents(train) & contents(test)
    assert len(train.index()) + len(test.index()) == 40


@pytest.mark.parametrize(
    "source",
    [
        DataSource.labeled_files("s3://KEY:SECRET@bucket/x", "-", 2),
        DataSource.files_by_label({"cat": ["s3://KEY:SECRET@bucket/x/1.jpg"]}),
    ],
)
def test_other_stored_forms_go_round(source: DataSource) -> None:
    stored = source.to_json()
    index = index_listed_files([Entry(key="1.jpg", size=1, version="")], {"1.jpg": "cat"}, "x", min_classes=1)
    again = DataSource.from_json(json.loads(json.dumps(stored)), {"anon": True}, lambda: index)
    assert "SECRET" not in str(stored) + repr(source)
    assert (again.url, again.labeling, again.to_json()) == ("s3://bucket/x", source.labeling, stored)
    assert hash(again) == hash(DataSource.from_json(stored, None, lambda: index))


def test_the_stored_form_of_a_manifest_goes_round(tmp_path: Path) -> None:
    make(tmp_path, "photos/1.jpg", "photos/2.jpg")
    (tmp_path / "all.csv").write_text("path,label\n1.jpg,cat\n../photos/2.jpg,dog\n")
    source = DataSource.manifest(tmp_path / "all.csv", root=tmp_path / "photos")
    again = DataSource.from_json(source.to_json())
    assert again == source
    assert again.index().digest == source.index().digest
    assert repr(again) == f"DataSource.manifest({str(tmp_path / 'all.csv')!r})"


def test_a_list_that_is_in_its_session_alone_says_so() -> None:
    stored = DataSource.files_by_label({"cat": ["s3://bucket/x/1.jpg"]}).to_json()
    with pytest.raises(UnusableData, match="listed in the session alone; name them again"):
        DataSource.from_json(stored).index()
