"""Which images a caller means."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.inference.images import ImagesInput, image_source
from mlsession.store.reading import ReadPolicy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that nobody decodes here."""
    for name in ("b.JPG", "a/1.png", "a/deep/2.jpg", "a/notes.txt", ".hidden/3.jpg", "c/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def keys(data: ImagesInput) -> list[str]:
    """Those found, each of which can be read, and none of which has a label."""
    source = image_source(data)
    index = source.list_images(ReadPolicy())
    assert index.classes == ("",)
    assert not index.labels.any()
    store = source.open()
    for key in index.keys:
        assert store.get(key).decode().endswith(key.rpartition("/")[2])
    store.close()
    return list(index.keys)


def test_all_images_of_a_folder_at_any_depth(folder: Path) -> None:
    assert keys(folder) == keys(str(folder)) == keys(folder.as_uri()) == ["a/1.png", "a/deep/2.jpg", "b.JPG", "c/4.jpg"]
    assert image_source(folder).about == {"kind": "images", "url": str(folder)}


def test_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name in ("a/1.png", "b.JPG", "a/notes.txt"):
            archive.write(folder / name, name)
    assert keys(f"zip://::{folder}/photos.zip") == ["a/1.png", "b.JPG"]


def test_images_named_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys(folder / "b.JPG") == ["b.JPG"]
    assert keys([folder / "c" / "4.jpg", folder / "a" / "deep" / "2.jpg"]) == ["a/deep/2.jpg", "c/4.jpg"]
    assert keys([folder / "a" / "notes.txt"]) == ["notes.txt"], "what is named is taken"
    monkeypatch.chdir(folder)
    assert keys(["a/1.png", "a/deep/2.jpg"]) == ["1.png", "deep/2.jpg"]
    (folder / "album.jpg").mkdir()
    (folder / "b.JPG").rename(folder / "album.jpg" / "b.JPG")
    assert keys("album.jpg") == ["b.JPG"], "a folder may be called like an image"


@pytest.mark.parametrize("text", ["path\na/1.png\n./b.JPG\n", "label,path\n,a/1.png\nx,b.JPG\n"])
def test_a_manifest_with_labels_or_without(folder: Path, text: str) -> None:
    (folder / "list.csv").write_text(text)
    assert keys(folder / "list.csv") == ["a/1.png", "b.JPG"]
    assert image_source(folder / "list.csv").about["folder"] == str(folder)


def test_a_data_source_without_its_labels(folder: Path) -> None:
    source = ml.DataSource.labeled_directories(folder)
    assert keys(source) == ["a/1.png", "a/deep/2.jpg", "c/4.jpg"]
    assert image_source(source).about == source.to_json()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("nowhere", "there is no such folder"),
        ("a/notes.txt", "not named like an image"),
        ("empty", "there are no images here"),
        ("gone.jpg", r"'gone\.jpg' is not there"),
        ("other.csv", "one column 'path'"),
        ("bare.csv", "names no images; add lines of path below"),
    ],
)
def test_what_has_no_images_is_refused(folder: Path, data: str, reason: str) -> None:
    (folder / "empty").mkdir()
    (folder / "other.csv").write_text("image,label\na/1.png,x\n")
    (folder / "bare.csv").write_text("path\n")
    with pytest.raises(UnusableData, match=reason):
        image_source(folder / data).list_images(ReadPolicy())


def test_a_list_names_each_image_once(folder: Path) -> None:
    with pytest.raises(InvalidParameter, match="named twice"):
        image_source([folder / "b.JPG", folder / "c" / ".." / "b.JPG"])
    with pytest.raises(InvalidParameter, match="names no images"):
        image_source([])
