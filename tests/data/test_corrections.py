"""Tables of corrections: what they ask for, and what that makes of an index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsession as ml
from mlsession.data.corrections import COLUMNS, Correction, Corrections, correction_table, parse_corrections
from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData, InvalidParameter, UnusableData
from tests.photos import copy_photos

HEADER = ",".join(COLUMNS)


def index(**labels: str) -> ImageIndex:
    """An index of `<name>.jpg` files."""
    classes = tuple(sorted(set(labels.values())))
    return ImageIndex(
        keys=[f"{name}.jpg" for name in sorted(labels)],
        labels=np.array([classes.index(labels[name]) for name in sorted(labels)], dtype=np.int32),
        sizes=np.arange(len(labels), dtype=np.int64),
        versions=[f"v{name}" for name in sorted(labels)],
        classes=classes,
        ignored=2,
    )


ANIMALS = index(a="ant", b="bee", c="cow", d="cow")


def labels_of(found: ImageIndex) -> dict[str, str]:
    return {key[0]: found.classes[label] for key, label in zip(found.keys, found.labels.tolist(), strict=True)}


def asked(*lines: str, header: str = HEADER) -> Corrections:
    return parse_corrections("\n".join([header, *lines]).encode(), "fixes.csv")


def applied(*lines: str, header: str = HEADER) -> dict[str, str]:
    return labels_of(asked(*lines, header=header).apply(ANIMALS))


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("a.jpg,ant,keep,bee,0.9,label-error,,,ant", "ant"),  # As it was written.
        ("a.jpg,ant,,bee,0.9,label-error,,,ant", "ant"),
        ("a.jpg,,,,,,,,ant", "ant"),
        ("a.jpg,cow,keep,bee,0.9,label-error,,,ant", "cow"),  # The label was edited.
        ("a.jpg,ant, Relabel ,bee,0.9,label-error,,,ant", "bee"),  # The action was.
        ("a.jpg,cow,relabel,bee,0.9,label-error,,,ant", "cow"),  # Both were: what somebody wrote counts.
        ("./a.jpg,ant,relabel,bee,0.9,label-error,,,ant", "bee"),
        ("a.jpg,ant,remove,bee,0.9,label-error,,,ant", None),
    ],
)
def test_what_a_line_asks_for(line: str, label: str | None) -> None:
    expected = {"a": label, "b": "bee", "c": "cow", "d": "cow"}
    assert applied(line) == {name: each for name, each in expected.items() if each}


def test_a_plain_list_of_labels_will_do() -> None:
    assert applied("c.jpg,bee", "a.jpg,ant", header="path,label") == {"a": "ant", "b": "bee", "c": "bee", "d": "cow"}
    assert applied("keep,a.jpg", "remove,b.jpg", header=" Action ,PATH") == {"a": "ant", "c": "cow", "d": "cow"}
    assert applied("a.jpg,cow,relabel", header="path,label,action")["a"] == "cow"


def test_all_else_of_the_index_stays() -> None:
    found = asked("b.jpg,bee,remove,,1,duplicate,a.jpg,training,bee").apply(ANIMALS)
    assert found.classes == ("ant", "cow")  # Of bees there are none.
    assert list(found.versions) == ["va", "vc", "vd"]
    assert found.sizes.tolist() == [0, 2, 3]
    assert found.ignored == 2
    assert asked().apply(ANIMALS).digest == ANIMALS.digest


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "line 1 must be a header with one column 'path', and 'label' or 'action', and it is empty"),
        ("path\na.jpg", "line 1 must be a header"),
        ("path,label,path\na,b,c", "line 1 must be a header"),
        ("path;label\na.jpg;bee", "separate the columns by commas"),
        ("path,label\na.jpg", "line 2 has 1 fields, and the header has 2"),
        ("path,label\n\n ,bee", "line 3 has no path"),
        ("path,action\na.jpg,delete", "line 2 has the action 'delete'; write keep, relabel or remove"),
        ("path,action\na.jpg,relabel", "line 2 is to be relabelled, and no label is suggested"),
        ("path,label\na.jpg,bee\na.jpg,cow", "line 3 asks for another thing of 'a.jpg' than line 2"),
        ('path,label\n"a.jpg,bee', "line 2 is not CSV"),
        ("path,label\nx.jpg,bee", "line 2 names 'x.jpg', which is not among the images"),
        ("path,action\nx.jpg,remove", "line 2 names 'x.jpg', which is not among the images"),
        ("path,label\na.jpg,ant\nb.jpg,dog", "line 3 says 'dog', a label that no image has; correct it: ant, bee, cow"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(table: str, words: str) -> None:
    with pytest.raises(UnusableData) as caught:
        parse_corrections(table.encode(), "fixes.csv").apply(ANIMALS)
    assert str(caught.value).startswith("fixes.csv: ")
    assert words in str(caught.value)


def test_other_bytes_than_utf8_are_said_with_their_line() -> None:
    with pytest.raises(UnusableData, match="line 2 is not UTF-8"):
        parse_corrections(b"path,label\n\xff.jpg,bee", "fixes.csv")


def test_lines_that_spreadsheets_leave_and_their_marks_do_not_matter() -> None:
    table = f"\ufeff{HEADER}\r\na.jpg,bee,keep,,,,,,ant\r\n{',' * (len(COLUMNS) - 1)}\r\n".encode()
    assert labels_of(parse_corrections(table, "fixes.csv").apply(ANIMALS))["a"] == "bee"


def test_what_is_gone_or_another_by_now_is_left_and_said() -> None:
    corrections = asked(
        "gone.jpg,bee,keep,,,label-error,,,ant",
        "also.jpg,ant,remove,,,duplicate,,,ant",
        "a.jpg,cow,keep,,,label-error,,,bee",
        "b.jpg,ant,remove,,,label-error,,,ant",
        "c.jpg,cow,relabel,bee,,label-error,,,cow",
        "d.jpg,cow,keep,,,label-error,,,ant",
    )
    found = corrections.apply(ANIMALS)
    assert labels_of(found) == {"a": "ant", "b": "bee", "c": "bee", "d": "cow"}
    assert corrections.left(found) == {
        "gone.jpg": "it is not there any more",
        "a.jpg": "it is labelled 'ant' now, not 'bee' as in the table",
        "b.jpg": "it is labelled 'bee' now, not 'ant' as in the table",
    }


def test_training_needs_two_classes() -> None:
    corrections = asked("a.jpg,remove", "b.jpg,remove", header="path,action")
    with pytest.raises(UnusableData, match="it leaves 1 class, and 2 are needed"):
        corrections.apply(ANIMALS, min_classes=2)
    assert len(corrections.apply(ANIMALS)) == 2


@given(
    rows=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda path: path.strip()),
        st.tuples(
            st.sampled_from(["cat", " ", "a,b", 'say "hi"', "x\ny", "=1", "'", "''=1", "'tis", "@a"]), st.booleans()
        ),
        max_size=5,
    )
)
def test_a_written_table_says_what_was_meant(rows: dict[str, tuple[str, bool]]) -> None:
    rows = {path.removeprefix("./"): row for path, row in rows.items() if path.removeprefix("./").strip()}
    table = correction_table(
        (path, label, "remove" if gone else "keep", "", "1", "duplicate", path, "training", "before")
        for path, (label, gone) in rows.items()
    )
    expected = {path: None if gone else label for path, (label, gone) in rows.items() if gone or label.strip()}
    found = parse_corrections(table, "t.csv")
    assert {row.path: row.label for row in found.rows} == expected
    again = Corrections.from_bytes(found.to_bytes())
    assert (again.rows, again.source, again.known) == (found.rows, "t.csv", True)


def test_no_field_is_a_formula() -> None:
    assert correction_table([("=a", "b", "", "", "", "", "@c", "", "")]).splitlines()[1] == b"./=a,b,,,,,./@c,,"
    table = correction_table(
        [("a", "=b", "relabel", "-c", "", "", "", "", "=b"), ("d", "'e", "", "", "", "", "", "", "f")]
    )
    assert table.splitlines()[1:] == [b"a,'=b,relabel,'-c,,,,,'=b", b"d,''e,,,,,,,f"]
    found = parse_corrections(table, "t.csv")
    assert [(row.path, row.label, row.given) for row in found.rows] == [("a", "-c", "=b"), ("d", "'e", "f")]
    # Nobody has to guard what he writes himself.
    by_hand = parse_corrections(b"path,label\na,=b\nd,'e\n", "t.csv")
    assert [row.label for row in by_hand.rows] == ["=b", "'e"]


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_table_or_an_error(data: bytes) -> None:
    for header in (b"", b"path,label\n", b"path,action,suggested\n"):
        try:
            found = parse_corrections(header + data, "t.csv")
        except UnusableData:
            continue
        assert all(row.path.strip() for row in found.rows)
    with pytest.raises(DamagedData):
        Corrections.from_bytes(data)


def test_stored_corrections_are_known_to_have_been_there() -> None:
    corrections = Corrections(source="t.csv", rows=(Correction(path="x.jpg", label=None, line=2),))
    with pytest.raises(UnusableData, match="not among the images"):
        corrections.apply(ANIMALS)
    assert Corrections.from_bytes(corrections.to_bytes()).apply(ANIMALS).digest == ANIMALS.digest
    twice = b'{"corrections": [{"path": "a", "label": null, "line": 1}, {"path": "a", "label": "b", "line": 2}], '
    for data in (twice + b'"source": "t"}', b'{"corrections": [{"path": 1, "label": "b", "line": 2}], "source": "t"}'):
        with pytest.raises(DamagedData):
            Corrections.from_bytes(data)


def test_a_corrected_source(tmp_path: Path) -> None:
    photos = copy_photos(tmp_path / "photos", "train", 2, ("Kiwi", "Lemon"))
    source = ml.DataSource.labeled_directories(photos)
    first, second, *_ = source.index().keys
    table = tmp_path / "fixes.csv"
    table.write_text(f"path,label,action\n{first},Lemon,\n{second},,remove\n")
    with pytest.raises(UnusableData, match="it leaves 1 class"):
        source.corrected(table).index()
    table.write_text(f"path,label,action\n{first},Lemon,\n")
    corrected = source.corrected(str(table))
    table.write_text("edited later")
    assert corrected.index().class_counts.tolist() == [1, 3]
    assert corrected.labeled_images()["Lemon"][0].endswith(first)
    # A part is of the corrected images, and not corrected again.
    (part,) = corrected.stratified_split([1.0])
    assert part.corrections is None
    assert part.index().class_counts.tolist() == [1, 3]
    with pytest.raises(UnusableData, match="there is no such file"):
        source.corrected(tmp_path / "none.csv")
    with pytest.raises(InvalidParameter, match="in the dataset"):
        ml.DataSource.dataset([("a.jpg", "x"), ("b.jpg", "y")], image="0", label="1").corrected(table)
