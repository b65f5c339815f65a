"""The tables of predictions: hostile names, long tables, and stores that give back something else."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mlsession.data.names import FORMULA_SIGNS
from mlsession.errors import DamagedData, StoreFull
from mlsession.inference.csv_table import CsvWriter
from mlsession.inference.output import Output, write_table
from mlsession.inference.parquet_table import ParquetWriter
from mlsession.inference.table import Block, TableWriter, blocks_of, without_unsure
from mlsession.session.phase import Arrays
from mlsession.store import LocalStore, MemoryStore, Store
from mlsession.testing.faults import Fault, FaultyStore, Operation, Process, only

CLASSES = ("plain", 'with "quotes", and comma', "=1+1", "two\nlines")
HOSTILE = [
    *("=cmd|' /C calc'!A0.jpg", "+1.jpg", "-1.jpg", "@SUM(A1).jpg", "\t=1.jpg", "\r=1.jpg", "\n=1.jpg"),
    *('quo"te.jpg', "com,ma.jpg", "line\nbreak.jpg", "carriage\rreturn.jpg", " spaces .jpg", "semi;colon.jpg"),
    *("a=b.jpg", "ünï-文字-🐈.jpg", "NA.jpg", "null", "'.jpg", "\x1b[31m.jpg"),
]


def block(paths: list[str], reasons: list[str] | None = None) -> Block:
    count = len(paths)
    top = np.stack([np.arange(count) % 4, (np.arange(count) + 1) % 4], axis=1).astype(np.int32)
    confidence = np.stack([1 / (np.arange(count) + 1.1), 1 / (np.arange(count) + 3.7) / 3], axis=1)
    return Block(paths=paths, top=top, confidence=confidence, reasons=reasons or [""] * count)


def written(writer: TableWriter, *blocks: Block) -> None:
    with closing(writer):
        for each in blocks:
            writer.write(each)


def test_hostile_names_come_back_and_none_begins_a_formula(tmp_path: Path) -> None:
    path, made = tmp_path / "r.csv", block(HOSTILE)
    written(CsvWriter(path, CLASSES, 2), made)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    frame = pd.read_csv(path, keep_default_na=False)
    for found in ([row[0] for row in rows[1:]], frame["path"].tolist()):
        assert [name.removeprefix("./") for name in found] == HOSTILE
        assert not [name for name in found if name.startswith(FORMULA_SIGNS)]
        assert sum(name.startswith("./") for name in found) == 7, "only those that need it"
    assert frame["label"].tolist() == [CLASSES[place] for place in made.top[:, 0]]
    assert [float(row[2]) for row in rows[1:]] == made.confidence[:, 0].tolist()
    assert [float(row[4]) for row in rows[1:]] == made.confidence[:, 1].tolist()


def test_parquet_has_names_exactly_and_nulls_for_what_is_missing(tmp_path: Path) -> None:
    path, made = tmp_path / "r.parquet", block(HOSTILE, ["", "torn", *[""] * (len(HOSTILE) - 2)])
    written(ParquetWriter(path, CLASSES, 2), made, made)
    table = pq.read_table(path)
    assert [(field.name, str(field.type), field.nullable) for field in table.schema] == [
        ("path", "string", False),
        *[
            (f"{name}{rank}", kind, True)
            for rank in ("", "_2")
            for name, kind in (("label", "string"), ("confidence", "double"))
        ],
        ("reason", "string", True),
    ]
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == HOSTILE * 2
    assert rows[1] == {
        **dict.fromkeys(("label", "confidence", "label_2", "confidence_2")), "path": HOSTILE[1], "reason": "torn"
    }  # fmt: skip
    assert (rows[0]["label"], rows[0]["confidence"], rows[0]["reason"]) == (CLASSES[0], made.confidence[0, 0], None)
    assert pq.read_metadata(path).num_row_groups == 2


def stored_rows(count: int, labels: int = 3) -> Iterator[Arrays]:
    for start in range(0, count, 1000):
        size = min(1000, count - start)
        yield {
            "reason": (np.arange(start, start + size) % 7 == 0).astype(np.int32),
            "top": np.tile(np.arange(labels, dtype=np.int32), (size, 1)),
            "top_confidence": np.tile(np.linspace(0.9, 0.1, labels), (size, 1)),
        }


def test_the_bytes_do_not_depend_on_where_rows_were_cut(tmp_path: Path) -> None:
    keys = [f"{number:05}.jpg" for number in range(2_500)]
    for writer, name in ((CsvWriter, "r.csv"), (ParquetWriter, "r.parquet")):
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir(exist_ok=True)
            blocks = blocks_of(stored_rows(2_500), keys, 4, ["torn"], 2)
            written(writer(tmp_path / folder / name, CLASSES, 2), *blocks)
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    frame = pd.read_csv(tmp_path / "one" / "r.csv")
    assert (len(frame), int(frame["reason"].notna().sum())) == (2_500, 358)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_classes": 2}, "a label that the model has not"),
        ({"top": 4}, "fewer labels than were kept"),
        ({"reasons": []}, "IndexError"),
        ({"count": 2_400}, "there are 2400 for 2500 images"),
        ({"count": 2_600}, "more rows than images"),
    ],
)
def test_rows_that_do_not_fit_are_damage(change: dict[str, object], reason: str) -> None:
    given = {"num_classes": 3, "top": 3, "reasons": ["torn"], "count": 2_500, **change}
    rows, keys = stored_rows(given.pop("count")), [str(number) for number in range(2_500)]  # type: ignore[arg-type]
    with pytest.raises(DamagedData, match=reason):
        list(blocks_of(rows, keys, **given))  # type: ignore[arg-type]


def put(output: Output, store: Store, *paths: str) -> int:
    return write_table(output, lambda: store, [block(list(paths))], CLASSES, 2)


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    output, process, inner = Output(url=str(tmp_path / "r.csv")), Process(), MemoryStore()
    assert put(output, FaultyStore(inner, process), "a.jpg") == len(inner.get("r.csv"))
    put(output, FaultyStore(inner, process), "a.jpg")
    assert [call.operation for call in process.calls].count(Operation.PUT) == 1
    put(output, FaultyStore(inner, process), "b.jpg")
    assert b"b.jpg" in inner.get("r.csv")


@pytest.mark.parametrize(("fault", "error"), [(Fault.NO_SPACE, StoreFull), (Fault.FLIPPED_BIT, DamagedData)])
def test_what_cannot_be_put_is_an_error(tmp_path: Path, fault: Fault, error: type[Exception]) -> None:
    inner = LocalStore(tmp_path)
    inner.put("r.csv", b"of last week")
    failing = FaultyStore(inner, Process(only(lambda call: fault, [Operation.PUT])))
    with pytest.raises(error):
        put(Output(url=str(tmp_path / "r.csv")), failing, "a.jpg")
    if error is StoreFull:
        assert inner.get("r.csv") == b"of last week"
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_only_what_is_unsure_loses_its_label() -> None:
    block = Block(
        paths=["a", "b", "c"],
        top=np.array([[1], [0], [0]], dtype=np.int32),
        confidence=np.array([[0.9], [0.899], [0.1]]),
        reasons=["", "", "torn"],
    )
    assert without_unsure(block, ["Kiwi", "Lemon"], 0.9).reasons == ["", "less sure than 0.9: Kiwi 0.899", "torn"]
    assert without_unsure(block, ["Kiwi", "Lemon"], 0.0) is block
