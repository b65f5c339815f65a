"""Images with their labels out of a table: a CSV, TSV, JSON Lines or Parquet file, or a table in memory; pure.

    .csv            RFC 4180: fields with a comma, a quote or a line break stand in double quotes
    .tsv            the same with tabs in place of commas
    .jsonl .ndjson  one JSON object a line
    .parquet        Apache Parquet

Text files are UTF-8. The columns (of JSON Lines: the members) have names; further ones are left alone. A path is text;
a label is text, taken exactly as it is written, or a whole number, taken as its digits.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mlsession.errors import InvalidParameter, UnusableData
from mlsession.store.location import redact

COLUMNS = ("path", "label")
LINE = "line"
ROW = "row"
"""What messages count in a file without lines, and in a table in memory."""

Values = tuple[Sequence[object], ...]
"""Columns of equal length."""


class Row(NamedTuple):
    """One image of a table."""

    line: int
    """Where it stands, from 1."""
    path: str
    label: str


def form_of(name: str) -> str:
    """How a manifest of this name is written: `csv`, `tsv`, `jsonl` or `parquet`; `csv` for any other ending."""
    ending = name.lower().rpartition(".")[2]
    return {"ndjson": "jsonl"}.get(ending, ending if ending in ("tsv", "jsonl", "parquet") else "csv")


def unit_of(form: str) -> str:
    """What messages count in a file of this form."""
    return ROW if form == "parquet" else LINE


def parse_rows(data: bytes, source: str, columns: Sequence[str] = COLUMNS, form: str = "csv") -> list[Row]:
    """The images that the bytes of a manifest name, in order. `source` is for messages.

    `columns` are the names of those with the path and the label: where labels do not matter the first alone, and then
    they are all "". Letters' case and blanks around a name make no difference. Raises `UnusableData` with the line
    where it is not of this form.
    """
    if form == "parquet":
        rows = _parquet_rows(data, source, columns)
    elif form == "jsonl":
        rows = list(_json_rows(_text(data, source), source, columns))
    else:
        rows = list(_csv_rows(_text(data, source), source, columns, "\t" if form == "tsv" else ","))
    if not rows:
        below = " below the header" if form in ("csv", "tsv") else ""
        raise UnusableData(source, f"it names no images; add {unit_of(form)}s of {','.join(columns)}{below}")
    return rows


def table_rows(table: object, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """The images of a table in memory: a pandas data frame; anything that Arrow can stream (Arrow, polars, DuckDB);
    a mapping from names to columns; or pairs of path and label.

    Paths may be `os.PathLike`. Raises `InvalidParameter` for anything else, and `UnusableData` with the row that is
    wrong.
    """
    values = _columns_in_memory(table, columns)
    if len({len(column) for column in values}) > 1:
        raise UnusableData("table", f"the columns {' and '.join(map(repr, columns))} differ in length")
    values = (tuple(os.fspath(each) if isinstance(each, os.PathLike) else each for each in values[0]), *values[1:])
    rows = list(_rows(values, "table", columns, ROW))
    if not rows:
        raise UnusableData("table", "it names no images; give it rows")
    return rows


def wrong(source: str, line: int, reason: str, unit: str = LINE) -> UnusableData:
    """The error for a line of a manifest, or a row of a table."""
    return UnusableData(source, f"{unit} {line} {reason}")


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(source, data.count(b"\n", 0, error.start) + 1, "is not UTF-8; save the file as UTF-8") from error


def _csv_rows(text: str, source: str, columns: Sequence[str], delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        width, places = _header(next(reader, []), source, columns, delimiter)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != width:
                what = "tab" if delimiter == "\t" else "comma"
                reason = f"has {len(fields)} fields, and the header has {width}; quote fields that hold a {what}"
                raise wrong(source, reader.line_num, reason)
            yield _row(reader.line_num, [fields[place] for place in places], source, columns)
    except csv.Error as error:
        raise wrong(source, reader.line_num, f"is not CSV: {error}; see to its quotes") from error


def _header(header: Sequence[str], source: str, wanted: Sequence[str], delimiter: str) -> tuple[int, list[int]]:
    """How many columns there are, and which are the wanted ones."""
    names = [_folded(name) for name in header]
    for name in wanted:
        if names.count(_folded(name)) != 1:
            found = f"it is {delimiter.join(map(redact, header))!r}" if header else "it is empty"
            reason = f"must be a header with one column {name!r}, and {found}; {_header_cure(names, wanted, delimiter)}"
            raise wrong(source, 1, reason)
    return len(names), [names.index(_folded(name)) for name in wanted]


def _header_cure(names: Sequence[str], wanted: Sequence[str], delimiter: str) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t," if mark != delimiter):
        return f"separate the columns by {'tabs' if delimiter == chr(9) else 'commas'}"
    cure = f"write {delimiter.join(wanted)}"
    return f"{cure}, or say what the columns are called (--label-from columns:PATH,LABEL)" if names else cure


def _json_rows(text: str, source: str, columns: Sequence[str]) -> Iterator[Row]:
    for line, item in enumerate(text.split("\n"), start=1):
        if not item.strip():
            continue
        try:
            members = json.loads(item)
        except (ValueError, RecursionError) as error:
            raise wrong(source, line, f"is not JSON: {' '.join(str(error).split())}; correct it") from error
        if not isinstance(members, dict):
            raise wrong(source, line, "is no JSON object; write one object a line")
        by_name = {_folded(name): value for name, value in members.items()}
        for name in columns if len(by_name) < len(members) else ():
            if sum(_folded(member) == _folded(name) for member in members) > 1:
                raise wrong(source, line, f"has several members {name!r}, alike but for case and blanks; leave one")
        for name in columns:
            if _folded(name) not in by_name:
                raise wrong(source, line, f"has no member {name!r}; fill it in, or remove the line")
        yield _row(line, [by_name[_folded(name)] for name in columns], source, columns)


def _parquet_rows(data: bytes, source: str, columns: Sequence[str]) -> list[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        names = _named([str(name) for name in file.schema_arrow.names], source, columns)
        table = file.read(columns=names)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise UnusableData(
            source, f"it is not Parquet: {' '.join(str(error).split())[:200]}; write it again"
        ) from error
    return list(_rows(tuple(table[name].to_pylist() for name in names), source, columns, ROW))


def _columns_in_memory(table: object, columns: Sequence[str]) -> Values:
    if isinstance(table, Mapping):
        return tuple(_listed(table[name]) for name in _named(list(table), "table", columns))
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        return tuple(_listed(table[name]) for name in _named(list(table.columns), "table", columns))  # type: ignore[index]
    if hasattr(table, "__arrow_c_stream__"):
        import pyarrow as pa

        arrow = pa.table(table)
        return tuple(arrow[name].to_pylist() for name in _named(arrow.column_names, "table", columns))
    if isinstance(table, Iterable) and not isinstance(table, str | bytes | os.PathLike):
        pairs = list(table)
        if all(isinstance(pair, tuple | list) and len(pair) == len(columns) for pair in pairs):
            return tuple(zip(*pairs, strict=True)) if pairs else tuple(() for _ in columns)
    raise InvalidParameter(
        "table", type(table).__name__, "must be a pandas, polars or Arrow table, or pairs of path and label"
    )


def _listed(column: object) -> list[object]:
    """The values as Python's own: numpy's whole numbers are others."""
    values: list[object] = column.tolist() if hasattr(column, "tolist") else list(column)  # type: ignore[call-overload]
    return values


def _named(names: Sequence[object], source: str, wanted: Sequence[str]) -> list[str]:
    """The names of the wanted columns as the table has them."""
    texts = [name for name in names if isinstance(name, str)]
    found: list[str] = []
    for name in wanted:
        same = [each for each in texts if each == name] or [each for each in texts if _folded(each) == _folded(name)]
        if len(same) != 1:
            have = ", ".join(map(repr, names)) or "none"
            raise UnusableData(source, f"it must have one column {name!r}, and its columns are {have}; rename one")
        found.append(same[0])
    return found


def _rows(values: Values, source: str, columns: Sequence[str], unit: str) -> Iterator[Row]:
    for line, fields in enumerate(zip(*values, strict=True), start=1):
        yield _row(line, fields, source, columns, unit)


def _row(line: int, fields: Sequence[object], source: str, columns: Sequence[str], unit: str = LINE) -> Row:
    path = fields[0]
    label = fields[1] if len(fields) > 1 else ""
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    for name, value in zip(columns, (path, label), strict=False):
        if value is None or (isinstance(value, str) and (not value.strip() or "\0" in value)):
            raise wrong(source, line, f"has no {name}; fill it in, or remove the {unit}", unit)
        if not isinstance(value, str):
            what = f"{value!r}, a {type(value).__name__}"
            raise wrong(source, line, f"has a {name} that is {what}; make it text", unit)
        try:
            value.encode()
        except UnicodeEncodeError as error:  # JSON can spell half a character, which no session could store.
            raise wrong(source, line, f"has a {name} that is not valid Unicode; correct it", unit) from error
    assert isinstance(path, str)
    assert isinstance(label, str)
    return Row(line, path, label)


def _folded(name: str) -> str:
    return name.strip().lower()
