"""The index as a value: stored form, digest and comparison."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.index import FEW_KEYS, ImageIndex, IndexChange
from mlsession.data.sources.directories import index_labeled_directories
from mlsession.errors import DamagedData, InternalError
from mlsession.store import Entry


def index_of(**files: str) -> ImageIndex:
    """Of version by key, a double underscore standing for the slash; the size is that of the version."""
    return index_of_keys({key.replace("__", "/"): version for key, version in files.items()})


def index_of_keys(files: dict[str, str]) -> ImageIndex:
    listing = [Entry(key=f"{key}.jpg", size=len(version), version=version) for key, version in files.items()]
    return index_labeled_directories(listing, (), "x", min_classes=1)


def same(first: ImageIndex, second: ImageIndex) -> bool:
    return (
        (first.keys, first.versions, first.classes, first.ignored)
        == (second.keys, second.versions, second.classes, second.ignored)
        and first.labels.tolist() == second.labels.tolist()
        and first.sizes.tolist() == second.sizes.tolist()
    )


files = st.dictionaries(
    st.tuples(
        st.sampled_from("abc"), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/."), max_size=4)
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    min_size=1,
    max_size=12,
).map(lambda found: index_of_keys({f"{label}/x{name}": version for (label, name), version in found.items()}))


@settings(max_examples=100, deadline=None)
@given(files)
def test_stored_form_goes_round(index: ImageIndex) -> None:
    again = ImageIndex.from_bytes(index.to_bytes())
    assert same(again, index)
    assert again.digest == index.digest


def test_many_batches_go_round() -> None:
    index = index_of_keys({f"class{row % 7}/{row}": str(row) for row in range(70_000)})
    assert same(ImageIndex.from_bytes(index.to_bytes()), index)


def test_digest_is_the_published_one() -> None:
    """The digest is stored in sessions: it must not change with a library or a release."""
    index = index_of(cat__1="etag", dog__2="ünï")
    texts = ((9, 18, "cat/1.jpgdog/2.jpg"), (3, 6, "catdog"), (4, 9, "etagünï"))
    columns = b"".join(struct.pack("<2q", first, second) + text.encode() for first, second, text in texts)
    fields = struct.pack("<q", 2) + columns + struct.pack("<2q", 4, 3)
    assert index.digest == hashlib.sha256(b"mlsession image index 1\n" + fields).hexdigest()
    assert index.digest == "a268682afe1a448666b438743211031c22ed7a78bf298dbea463884376c24ac9"


@settings(max_examples=100, deadline=None)
@given(files, files)
def test_equal_digests_mean_equal_rows(one: ImageIndex, two: ImageIndex) -> None:
    assert (one.digest == two.digest) == same(one, two)
    assert bool(one.compare(two)) == (one.digest != two.digest)


def test_fields_cannot_run_into_each_other() -> None:
    one, two = index_of_keys({"a/1": "2", "a/3": "4"}), index_of_keys({"a/1": "24", "a/3": ""})
    assert one.digest != two.digest


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -200])
def test_damaged_bytes_are_refused(cut: int) -> None:
    data = index_of(cat__1="a", dog__2="b").to_bytes()
    with pytest.raises(DamagedData, match="image index"):
        ImageIndex.from_bytes(data[:cut])


def test_another_table_is_refused() -> None:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    table = pa.table({"key": ["a/1.jpg"]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DamagedData):
        ImageIndex.from_bytes(sink.getvalue().to_pybytes())


def test_columns_must_fit() -> None:
    def index(**changed: object) -> ImageIndex:
        columns: dict[str, object] = {
            "keys": ("a/1.jpg", "b/2.jpg"),
            "labels": np.array([0, 1], dtype=np.int32),
            "sizes": np.array([5, 6]),
            "versions": ("x", "y"),
            "classes": ("a", "b"),
        }
        return ImageIndex(**{**columns, **changed})  # type: ignore[arg-type]

    assert len(index()) == 2
    for changed in (
        {"keys": ("b/2.jpg", "a/1.jpg")},
        {"keys": ("a/1.jpg", "a/1.jpg")},
        {"classes": ("a",)},
        {"classes": ("b", "a")},
        {"versions": ("x",)},
        {"labels": np.array([0, 1])},
        {"labels": np.array([0, -1], dtype=np.int32)},
        {"sizes": np.array([5])},
    ):
        with pytest.raises(InternalError):
            index(**changed)


def test_no_change() -> None:
    index = index_of(cat__1="a", dog__2="b")
    assert index.compare(index) == IndexChange()
    assert not IndexChange()


def test_changes_of_every_kind() -> None:
    before = index_of(cat__1="a", cat__2="b", cat__3="c", dog__1="dd", dog__5="e")
    now = index_of(cat__1="a", cat__2="B", dog__1="dd", dog__3="c'", dog__5="e", owl__9="z", dog__4="ff")
    assert before.compare(now) == IndexChange(
        added=("dog/3.jpg", "dog/4.jpg", "owl/9.jpg"), removed=("cat/3.jpg",), replaced=("cat/2.jpg",)
    )


def test_a_file_moved_to_another_class_is_relabeled() -> None:
    before, now = (
        index_of(cat__x__1="a", cat__2="b", dog__3="c"),
        index_of(dog__x__1="new times", cat__2="b", dog__3="c"),
    )
    assert before.compare(now) == IndexChange(added=("dog/x/1.jpg",), removed=("cat/x/1.jpg",))
    now = index_of(dog__x__1="A", cat__2="b", dog__3="c")
    assert before.compare(now) == IndexChange(relabeled=("dog/x/1.jpg",))


def test_a_move_that_could_be_several_is_not_guessed() -> None:
    before, now = index_of(cat__1="a", dog__1="b", owl__2="c"), index_of(emu__1="a", fox__1="b", owl__2="c")
    change = before.compare(now)
    assert (change.added, change.removed) == (("emu/1.jpg", "fox/1.jpg"), ("cat/1.jpg", "dog/1.jpg"))
    assert change.relabeled == ()


def test_the_same_key_under_another_label_is_relabeled() -> None:
    """Labels need not come from keys; compare looks at both."""
    before = index_of(cat__1="a", dog__2="b")
    now = ImageIndex(
        keys=before.keys,
        labels=np.array([1, 1], dtype=np.int32),
        sizes=before.sizes,
        versions=before.versions,
        classes=before.classes,
    )
    assert before.compare(now) == IndexChange(relabeled=("cat/1.jpg",))


@pytest.mark.parametrize("few", [0, FEW_KEYS], ids=["many", "few"])
def test_keys_are_found_whether_they_are_few_or_many(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.data.index.FEW_KEYS", few)
    stored = index_of(cat__a="1", dog__b="22", dog__ß="3")
    rows = stored.rows_of(["dog/ß.jpg", "dog/", "cat/a.jpg", "", "cat/a.jpg"])
    assert rows.dtype == np.int64
    assert rows.tolist() == [2, -1, 0, -1, 0]
    assert stored.rows_of([]).tolist() == []


def test_reading_an_index_does_not_import_pandas(tmp_path: Path) -> None:
    stored = index_of(cat__a="1", dog__b="22")
    (tmp_path / "index").write_bytes(stored.to_bytes())
    program = (
        "import sys; from pathlib import Path; from mlsession.data.index import ImageIndex\n"
        f"index = ImageIndex.from_bytes(Path({str(tmp_path / 'index')!r}).read_bytes())\n"
        "print(index.labels, index.sizes, [name for name in ('pandas', 'torch') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found == "[0 1] [1 2] []\n"
