"""Labels out of names and lists: what each rule makes of a listing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.sources.directories import index_labeled_directories
from mlsession.data.sources.file_names import ByName, index_labeled_files
from mlsession.data.sources.listed import MAX_LISTINGS, folders_to_list, index_listed_files, labels_by_key
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.randomness import keyed_generator
from mlsession.store import Entry


def entries(*keys: str) -> list[Entry]:
    return [Entry(key=key, size=len(key), version=f"v{key}") for key in keys]


@pytest.mark.parametrize(
    ("name", "separator", "position", "label"),
    [
        ("buffalo.1.jpg", ".", 0, "buffalo"),
        ("buffalo.jpg", ".", 0, "buffalo"),
        ("st.bernard.7.JPG", ".", 0, "st"),
        ("st.bernard.7.JPG", ".", 1, "bernard"),
        ("st.bernard.7.JPG", ".", -1, "7"),
        ("buffalo.jpg", ".", 1, None),
        ("fold1-foo-x.png", "-", 1, "foo"),
        ("fold1-foo.png", "-", 1, "foo"),
        ("fold1-foo.png", "-", -1, "foo"),
        ("fold1-foo.png", "-", -3, None),
        ("fold1--x.png", "-", 1, None),
        ("plain.png", "-", 0, None),
        ("über kuh _3.webp", " _", 0, "über kuh"),
    ],
)
def test_the_label_of_a_name(name: str, separator: str, position: int, label: str | None) -> None:
    assert ByName(separator=separator, position=position).label_of(name) == label


@pytest.mark.parametrize(("separator", "position"), [("", 0), ("/", 0), (3, 0), (".", 1.0), (".", True)])
def test_a_rule_that_cuts_nothing_is_refused(separator: str, position: int) -> None:
    with pytest.raises(InvalidParameter, match=r"separator|position"):
        ByName(separator=separator, position=position)


def test_a_flat_folder_counts_what_it_leaves_out() -> None:
    listed = entries("a-1.jpg", "b-1.PNG", "b-2.png", "plain.png", "notes.txt", "more/a-2.jpg", ".a-3.jpg", "Thumbs.db")
    index = index_labeled_files(listed, ByName(separator="-"), "x")
    assert (index.keys, index.classes, index.ignored) == (("a-1.jpg", "b-1.PNG", "b-2.png"), ("a", "b"), 3)
    assert index.labels.tolist() == [0, 1, 1]
    assert index.versions == ("va-1.jpg", "vb-1.PNG", "vb-2.png")
    assert index.sizes.tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ((), "there are no images here; check the path"),
        (("notes.txt",), "there are no images here; check the path"),
        (("cat/1.jpg", "dog/1.jpg"), r"2 in sub-folders; .*--label-from folder"),
        (("plain.jpg", "more.jpg"), r"position 0 of its name cut at '-', such as 'more.jpg'; choose another separator"),
        (("a-1.jpg", "a-2.jpg"), "the only class is 'a'; add images"),
        (("a-\udcff.jpg", "b-2.jpg"), "not valid Unicode"),
    ],
)
def test_what_a_flat_folder_lacks(keys: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnusableData, match=reason):
        index_labeled_files(entries(*keys), ByName(separator="-"), "x")


def test_a_flat_folder_taken_for_folders_says_what_to_do() -> None:
    with pytest.raises(UnusableData, match=r"but 2 beside them; .*labeled_files \(--label-from name\)"):
        index_labeled_directories(entries("cat.1.jpg", "dog.1.jpg", "notes.txt"), (), "x")


def test_a_list_is_taken_as_it_is() -> None:
    labels = {"b/.hidden/1": "x", "a/1.jpg": "y", "c.txt": "x"}
    index = index_listed_files(entries("a/1.jpg", "a/2.jpg", "b/.hidden/1", "c.txt"), labels, "x")
    assert labels_by_key(index) == labels
    assert (index.keys, index.classes, index.ignored) == (("a/1.jpg", "b/.hidden/1", "c.txt"), ("x", "y"), 0)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({}, "no images in this list"),
        ({"a.jpg": "x", "n.jpg": "x", "m.jpg": "y"}, r"the file 'm.jpg' is not there \(nor are 1 others\); correct"),
        ({"a.jpg": "x", "b\\1.jpg": "x"}, r"is not there; write / between folders"),
        ({"a.jpg": "x", "b.jpg": "x"}, "the only class is 'x'; list images"),
    ],
)
def test_what_a_list_lacks(labels: Mapping[str, str], reason: str) -> None:
    with pytest.raises(UnusableData, match=reason):
        index_listed_files(entries("a.jpg", "b.jpg"), labels, "x")


names = st.lists(st.text("ab-./", min_size=1, max_size=6).map(lambda text: f"{text}x.jpg"), unique=True, min_size=1)


@given(names, st.integers(0, 99))
def test_the_order_of_the_listing_does_not_matter(found: list[str], seed: int) -> None:
    listed = entries("a-1.jpg", *(name for name in found if name != "a-1.jpg"))
    moved = [listed[place] for place in keyed_generator(seed, "order").permutation(len(listed))]
    rule = ByName(separator="-")
    one, two = (index_labeled_files(order, rule, "x", min_classes=1) for order in (listed, moved))
    assert (one.digest, one.ignored) == (two.digest, two.ignored)
    labels = {entry.key: entry.key[0] for entry in listed}
    one, two = (index_listed_files(order, labels, "x", min_classes=1) for order in (listed, moved))
    assert one.digest == two.digest
    assert len(one) == len(listed)


def test_folders_to_list() -> None:
    assert folders_to_list(["a.jpg", "b/1.jpg"]) == ("",)
    assert folders_to_list(["a-b/1.jpg", "a/1.jpg", "a/c/2.jpg", "a/c/d/3.jpg"]) == ["a-b", "a"]
    assert folders_to_list([f"{number}/1.jpg" for number in range(MAX_LISTINGS + 1)]) == ("",)


@given(
    st.lists(st.text("ab/", min_size=1, max_size=8).map(lambda text: f"{text.strip('/')}/x".lstrip("/")), min_size=1)
)
def test_folders_to_list_hold_all_and_none_twice(keys: list[str]) -> None:
    folders = folders_to_list(keys)
    for key in keys:
        assert sum(folder == "" or key.startswith(f"{folder}/") for folder in folders) == 1
