"""Images out of tables: TSV, JSON Lines, Parquet and tables in memory. CSV is in test_manifest."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mlsession.data.rows import Row, form_of, parse_rows, table_rows
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter, UnusableData
from tests.data.test_source import make

NAMED = ("file", "class")


def as_parquet(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_the_form_follows_from_the_name() -> None:
    names = ("a.csv", "a.TSV", "a.jsonl", "a.NDJSON", "a.parquet", "a", "a.txt")
    assert [form_of(name) for name in names] == ["csv", "tsv", "jsonl", "jsonl", "parquet", "csv", "csv"]


def test_every_form_gives_the_same_rows() -> None:
    rows = [("a/1.jpg", "cat"), ("b, c.jpg", ' "dog"\t'), ("d.jpg", "7")]
    quoted = [[field.replace('"', '""') for field in row] for row in rows]
    csv = "FILE ,x,class\n" + "".join(f'"{path}",,"{label}"\n' for path, label in quoted)
    members = [{"class": int(label) if label == "7" else label, "x": None, "file": path} for path, label in rows]
    table: dict[str, Any] = {"x": [None] * 3, "class": [label for _, label in rows], "file": [path for path, _ in rows]}
    found = [
        parse_rows(csv.encode(), "m", NAMED),
        parse_rows(csv.replace('",,"', '"\t\t"').replace("FILE ,x,", "\ufeffFile\tx\t").encode(), "m", NAMED, "tsv"),
        parse_rows("\n\n".join(map(json.dumps, members)).encode(), "m", NAMED, "jsonl"),
        parse_rows(as_parquet(table), "m", NAMED, "parquet"),
        table_rows(pd.DataFrame(table), NAMED),
        table_rows(pa.table(table), NAMED),
        table_rows(pa.table(table).to_reader(), NAMED),
        table_rows(table, NAMED),
        table_rows(rows),
    ]
    assert [[(row.path, row.label) for row in each] for each in found] == [rows] * len(found)
    assert [row.line for row in found[2]] == [1, 3, 5]


def test_what_tables_in_memory_hold() -> None:
    frame = pd.DataFrame({"Path": [Path("a.jpg"), Path("b.jpg")], "label": pd.Categorical(["x", "y"])})
    assert table_rows(frame) == [Row(1, "a.jpg", "x"), Row(2, "b.jpg", "y")]
    assert table_rows(pd.DataFrame({"path": ["a.jpg"], "label": [3]})) == [Row(1, "a.jpg", "3")]
    assert table_rows({"path": ["a.jpg"], "label": np.array([3], dtype=np.int16)}) == [Row(1, "a.jpg", "3")]
    encoded = pa.table({"path": ["a.jpg", "b.jpg"], "label": pa.array(["x", "x"]).dictionary_encode()})
    assert [row.label for row in table_rows(encoded)] == ["x", "x"]
    assert table_rows(pair for pair in [["a.jpg", "x"]]) == [Row(1, "a.jpg", "x")]


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        ("tsv", b"path,label\na,b\n", "line 1 must be a header .*; separate the columns by tabs"),
        ("csv", b"path\tlabel\na\tb\n", "line 1 must be a header .*; separate the columns by commas"),
        ("csv", b"file,class\na,b\n", r"write path,label, or say what the columns are called \(--label-from columns:"),
        ("tsv", b"path\tlabel\na\tb\tc\n", "line 2 has 3 fields, and the header has 2; quote fields that hold a tab"),
        ("jsonl", b'{"path": "a.jpg", "label": "x"}\n{"path": "b.jpg"}\n', "line 2 has no member 'label'"),
        ("jsonl", b'["a.jpg", "x"]\n', "line 1 is no JSON object"),
        ("jsonl", b'{"path": "a.jpg", "label": "x"\n', "line 1 is not JSON: .*; correct it"),
        ("jsonl", b'{"path": "a.jpg", "label": 1.5}\n', "line 1 has a label that is 1.5, a float; make it text"),
        ("jsonl", b'{"path": "a.jpg", "label": true}\n', "line 1 has a label that is True, a bool"),
        ("jsonl", b'{"path": "a.jpg", "label": null}\n', "line 1 has no label; fill it in, or remove the line"),
        ("jsonl", b'{"path": 3, "label": "x"}\n', "line 1 has a path that is 3, a int"),
        ("jsonl", b'{"path": "a.jpg", "label": "\\ud800"}\n', "line 1 has a label that is not valid Unicode"),
        ("jsonl", b'{"path": "\\udc00.jpg", "label": "x"}\n', "line 1 has a path that is not valid Unicode"),
        ("jsonl", b'{"path": "a.jpg", "label": "x", "Path": "b"}\n', "line 1 has several members 'path', alike"),
        ("jsonl", b'{"path": "a.jpg", "label": "\xff"}\n', "line 1 is not UTF-8"),
        ("jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("jsonl", b"\n\n", "it names no images; add lines of path,label$"),
        ("parquet", b"path,label\n", "it is not Parquet: .*; write it again"),
        ("parquet", as_parquet({"path": ["a"], "class": ["x"]}), "one column 'label', and its columns are 'path', 'cl"),
        ("parquet", as_parquet({"path": ["a", None], "label": ["x", "y"]}), "row 2 has no path; fill it in, or remove"),
        ("parquet", as_parquet({"path": ["a"], "label": [0.5]}), "row 1 has a label that is 0.5, a float"),
        ("parquet", as_parquet({"path": pa.array([], pa.string()), "label": pa.array([], pa.string())}), "no images"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(form: str, data: bytes, reason: str) -> None:
    with pytest.raises(UnusableData, match=f"^m: .*{reason}"):
        parse_rows(data, "m", form=form)


@pytest.mark.parametrize("table", [3, "a.csv", b"", Path("a.csv"), [("a.jpg",)], ["a.jpg"], object()])
def test_what_is_no_table(table: object) -> None:
    with pytest.raises(InvalidParameter, match="must be a pandas, polars or Arrow table, or pairs of path and label"):
        table_rows(table)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([], "table: it names no images"),
        ([("a.jpg", "x"), ("b.jpg", float("nan"))], "table: row 2 has a label that is nan, a float"),
        ([("a.jpg", "\ud800")], "table: row 1 has a label that is not valid Unicode"),
        ({"path": ["a.jpg"], "class": ["x"]}, "table: it must have one column 'label'"),
        ({"path": ["a.jpg", "b.jpg"], "label": ["x"]}, "table: the columns 'path' and 'label' differ in length"),
        ([("a.jpg", "x"), ("./a.jpg", "y")], r"table: row 2 names './a.jpg', and so does row 1 with the label 'x'"),
        ([("a.jpg", "x"), ("s3://b/a.jpg", "y")], "lie in different stores"),
    ],
)
def test_a_wrong_table_is_named_with_its_row(table: object, reason: str) -> None:
    with pytest.raises(UnusableData, match=reason):
        DataSource.table(table)


def test_tables_and_manifests_are_the_same_source(tmp_path: Path) -> None:
    make(tmp_path, "photos/a/1.jpg", "photos/2.jpg", "photos/other.jpg")
    rows = [("a/1.jpg", "x/y"), ("2.jpg", "dog")]
    table = DataSource.table(rows, root=tmp_path / "photos")
    assert table.labeled_images()["x/y"] == [str(tmp_path / "photos" / "a" / "1.jpg")]
    assert table == DataSource.files_by_label(
        {"x/y": [tmp_path / "photos/a/1.jpg"], "dog": [tmp_path / "photos/2.jpg"]}
    )
    path = tmp_path / "all.parquet"
    path.write_bytes(as_parquet({"file": [row[0] for row in rows], "class": [row[1] for row in rows]}))
    manifest = DataSource.manifest(path, root=tmp_path / "photos", path="file", label="class")
    assert manifest.index().digest == table.index().digest
    assert DataSource.from_json(manifest.to_json()) == manifest
    assert DataSource.from_json(manifest.to_json()).index().digest == manifest.index().digest
    with pytest.raises(InvalidParameter, match="is the column of the paths"):
        DataSource.manifest(path, path="x", label="X")
    with pytest.raises(InvalidParameter, match="must be the name of a column"):
        DataSource.manifest(path, label=" ")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(texts, texts), min_size=1))
def test_whatever_is_written_as_json_lines_reads_back(rows: list[tuple[str, str]]) -> None:
    data = "".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in rows)
    assert [(row.path, row.label) for row in parse_rows(data.encode(), "m", form="jsonl")] == rows


@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_any_bytes_are_read_or_refused(data: bytes, form: str) -> None:
    try:
        rows = parse_rows(data, "m", form=form)
    except UnusableData:
        return
    assert rows
