"""Labelled directories: every rule that docs/data.md states, on real folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.data.names import PART_NAMES, part_named
from mlsession.data.source import DataSource
from mlsession.data.sources.directories import index_labeled_directories, parts_of
from mlsession.errors import DividedData, UnusableData
from mlsession.store import Entry
from tests.data.test_source import make


def labels_of(root: Path) -> dict[str, str]:
    index = DataSource.labeled_directories(root).index(min_classes=1)
    return {key: index.classes[label] for key, label in zip(index.keys, index.labels.tolist(), strict=True)}


def test_depth_hidden_names_and_what_is_counted(tmp_path: Path) -> None:
    root = make(
        tmp_path / "animals",
        *("cat/1.jpg", "cat/more/2.JPG", "dog/a/b/c/d/3.webp"),
        *("cat/.1.jpg", ".git/1.jpg", ".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "dog/DESKTOP.INI"),
        *("__MACOSX/cat/1.jpg", "cat/__macosx/1.jpg"),
        *("1.jpg", "cat/notes.txt", "cat/clip.mov"),
    )
    assert labels_of(root) == {"cat/1.jpg": "cat", "cat/more/2.JPG": "cat", "dog/a/b/c/d/3.webp": "dog"}
    assert DataSource.labeled_directories(root).index().ignored == 3


@pytest.mark.parametrize("left", ["owl/notes.txt", "owl/.1.jpg", "owl/Thumbs.db", "owl/more/"])
def test_a_folder_without_an_image_is_named(left: str, tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.jpg", "dog/2.jpg")
    if left.endswith("/"):
        (root / left).mkdir(parents=True)
    else:
        make(root, left)
    with pytest.raises(UnusableData, match="the folder 'owl' holds no image; add images"):
        labels_of(root)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = make(tmp_path / "animals", "cat/1.jpg", "dog/2.jpg")
    make(tmp_path, "elsewhere/3.jpg", "elsewhere/more/4.jpg")
    (root / "owl").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "here").symlink_to(root / "cat")
    (root / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "cat" / "self.jpg").symlink_to("self.jpg")
    (root / "dog" / "5.jpg").symlink_to(root / "cat" / "1.jpg")
    keys = labels_of(root)
    assert {"owl/3.jpg": "owl", "owl/more/4.jpg": "owl", "dog/5.jpg": "dog"}.items() <= keys.items()
    assert not {"cat/gone.jpg", "cat/self.jpg"} & keys.keys()
    assert [key for key in keys if key.count("here") > 1 or key.count("up/cat") > 1] == []
    assert all(key.count("/") < 6 for key in keys)


NAMES = (
    *("st. bernard", "v1.0", " leading", "trailing ", "a,b", "it's", "a=b&c", "100%", "tab\there", "-rf", "~home"),
    *("🐈", "👩\u200d👧", "חתול", "قط", "猫", "caf\u00e9", "cafe\u0301", "\u202egnp", "Cat", "cat", "CAT"),
    *("x" * 255, "é" * 127, "a\\b", "nul", "new\nline"),
)


def test_labels_are_names_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "animals"
    for name in NAMES:
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").write_bytes(b"x")
    if len(list(root.iterdir())) < len(NAMES):
        pytest.skip("this disk folds cases or normalises names")
    source = DataSource.labeled_directories(root)
    assert set(labels_of(root).values()) == set(NAMES)
    assert source.index().classes == tuple(sorted(NAMES))
    store = source.open()
    assert {store.get(key) for key in source.index().keys} == {b"x"}
    store.close()
    assert DataSource.from_json(source.to_json()).index().digest == source.index().digest


def test_a_slash_is_between_folders_and_long_paths_are_taken(tmp_path: Path) -> None:
    deep = "/".join(["y" * 200] * 15)
    root = make(tmp_path, "a/b/1.jpg", f"c/{deep}/1.jpg")
    assert labels_of(root) == {"a/b/1.jpg": "a", f"c/{deep}/1.jpg": "c"}


def test_what_parts_are_called() -> None:
    assert [part_named(name) for name in ("Train", "TRAINING", "val", "Valid", "validation", "test", "testing")] == [
        *("training", "training", "validation", "validation", "validation", "test", "test")
    ]
    assert [part_named(name) for name in ("trains", "dev", "tests", "", "train ")] == [None] * 5
    assert parts_of(["test", "Train", "val"]) == {"test": "test", "training": "Train", "validation": "val"}
    for folders in (["val", "test"], ["train", "training"], ["train", "car", "bus"], ["train", "val", "valid"], []):
        assert parts_of(folders) == {}
    assert set(PART_NAMES) == {"training", "validation", "test"}


def test_divided_data_are_no_labels(tmp_path: Path) -> None:
    root = make(tmp_path / "animals", "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "readme.jpg", ".x/1.jpg")
    (root / "val").mkdir()
    with pytest.raises(DividedData) as caught:
        DataSource.labeled_directories(root).index()
    assert caught.value.parts == {"training": "train", "validation": "val", "test": "test"}
    assert str(caught.value) == (
        f"{root}: its folders test/, train/, val/ are parts and no labels: `mlsession train` and Classifier.train take "
        f"them for what they are, anything else wants one of them, such as {root}/train"
    )
    assert labels_of(root / "train") == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}


@pytest.mark.parametrize(
    ("keys", "classes"),
    [
        (("train/1.jpg", "test/2.jpg"), ("test", "train")),  # Photos of trains and of tests.
        (("train/a/1.jpg", "bus/a/2.jpg"), ("bus", "train")),
        (("train/a/1.jpg", "training/a/2.jpg"), ("train", "training")),
    ],
)
def test_what_is_not_divided(keys: tuple[str, ...], classes: tuple[str, ...]) -> None:
    listed = [Entry(key=key, size=1, version="") for key in keys]
    assert index_labeled_directories(listed, (), "x").classes == classes


@pytest.mark.parametrize(("name", "cure"), [("x.zip", "zip://::{}"), ("x.tar", "tar://::{}"), ("x.txt", "a manifest")])
def test_a_file_in_place_of_a_folder_says_what_to_write(name: str, cure: str, tmp_path: Path) -> None:
    path = make(tmp_path, name) / name
    with pytest.raises(UnusableData) as caught:
        labels_of(path)
    assert cure.format(path) in str(caught.value)
