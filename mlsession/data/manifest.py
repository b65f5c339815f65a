"""A manifest: a CSV file that names images with their labels; read and written here.

    path,label
    cat/1.jpg,cat
    "dog/2, left.jpg",dog

UTF-8, RFC 4180: fields with a comma, a quote or a line break stand in double quotes, with quotes inside doubled. The
header names the columns; further columns are left alone. A path is relative, by default to the manifest's folder, or
a full path or URL. Labels are taken exactly as they are written, blanks included.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from mlsession.data.locations import common_folder, full_location, is_relative, keys_below, location_below, parts_below
from mlsession.errors import InvalidParameter, KeyMissing, UnusableData
from mlsession.store import is_local, join_url, open_store, parent_url, redact, url_name

COLUMNS = ("path", "label")
MOST_BYTES = 2**30
"""Of a manifest: that of ten million images is shorter. More is not read."""


class Row(NamedTuple):
    """One image of a manifest."""

    line: int
    """Where it stands, from 1."""
    path: str
    label: str


def read_manifest(
    url: str, storage_options: Mapping[str, object] | None, columns: Sequence[str] = COLUMNS
) -> list[Row]:
    """The images that a manifest in any store names; see `parse_manifest`. Raises `UnusableData`, and `StoreError`."""
    try:
        with closing(open_store(parent_url(url), storage_options)) as store:
            data = store.get_range(url_name(url), 0, MOST_BYTES + 1)
    except KeyMissing as error:
        raise UnusableData(redact(url), "there is no such file; check the path") from error
    if len(data) > MOST_BYTES:
        raise UnusableData(redact(url), f"it has more than {MOST_BYTES:,} bytes, which no manifest has; check the path")
    return parse_manifest(data, redact(url), columns)


def parse_manifest(data: bytes, source: str, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """The images that the bytes of a manifest name, in order; pure. `source` is for messages.

    `columns` are those that it must have: where labels do not matter the path alone, and then they are all "".
    Raises `UnusableData` with the line where it is not of this form.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(source, data.count(b"\n", 0, error.start) + 1, "is not UTF-8; save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        width, places = _columns(next(reader, []), source, columns)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != width:
                reason = f"has {len(fields)} fields, and the header has {width}; quote fields that hold a comma"
                raise _wrong(source, reader.line_num, reason)
            for name, place in zip(columns, places, strict=True):
                if not fields[place].strip() or "\0" in fields[place]:
                    raise _wrong(source, reader.line_num, f"has no {name}; fill it in, or remove the line")
            rows.append(Row(reader.line_num, fields[places[0]], fields[places[1]] if len(places) > 1 else ""))
    except csv.Error as error:
        raise _wrong(source, reader.line_num, f"is not CSV: {error}; see to its quotes") from error
    if not rows:
        raise UnusableData(source, f"it names no images; add lines of {','.join(columns)} below the header")
    return rows


def manifest_folder(rows: Sequence[Row], base: str, source: str) -> str:
    """The folder that the keys of a manifest's images are relative to.

    `base` is where relative paths begin, and the folder itself unless some path is a full one or leads out of it by
    ".."; then it is the deepest folder that holds all images. Raises `UnusableData` if there is none.
    """
    if all(_is_plain(row.path) for row in rows):
        return base
    try:
        return common_folder(list(_locations(rows, base, source)))
    except InvalidParameter as error:
        raise UnusableData(source, str(error)) from error


def manifest_labels(rows: Sequence[Row], base: str, folder: str, source: str) -> dict[str, str]:
    """Label by key relative to `folder`, see `manifest_folder`.

    Raises `UnusableData` with the line for an image that lies elsewhere, or that another line names, too.
    """
    keys: Sequence[str | None]
    if folder == base and all(_is_plain(row.path) for row in rows):
        # In a bucket "a//b" is another key than "a/b"; on a disk it is the same file.
        empty = ("", ".") if is_local(base) else (".",)
        keys = ["/".join(part for part in row.path.split("/") if part not in empty) for row in rows]
    else:
        keys = keys_below(folder, list(_locations(rows, base, source)))
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for row, key in zip(rows, keys, strict=True):
        if key is None:
            reason = f"names {redact(row.path)!r}, which does not lie in {redact(folder)} like the others"
            raise _wrong(source, row.line, reason)
        if key in lines:
            other = "" if labels[key] == row.label else f" with the label {labels[key]!r}"
            raise _wrong(source, row.line, f"names {row.path!r}, and so does line {lines[key]}{other}; remove one")
        labels[key], lines[key] = row.label, row.line
    return labels


def manifest_bytes(rows: Iterable[tuple[str, str]]) -> bytes:
    """A manifest of (path, label), in this order."""
    lines = [",".join(map(_quoted, fields)) for fields in (COLUMNS, *rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def manifest_path(folder: str, key: str, output: str) -> str:
    """How a manifest in the folder `output` names the image `key` of `folder`: relative to it where it lies below.

    Credentials are left out.
    """
    below = parts_below(folder, output)
    if not below and folder.rstrip("/") != output.rstrip("/"):
        return join_url(redact(folder), key)
    path = "/".join((*below, key))
    return path if _is_plain(path) else f"./{path}"


def _columns(header: Sequence[str], source: str, wanted: Sequence[str]) -> tuple[int, list[int]]:
    """How many columns there are, and which are the wanted ones."""
    names = [name.strip().lower() for name in header]
    for name in wanted:
        if names.count(name) != 1:
            found = f"it is {','.join(header)!r}" if header else "it is empty"
            cure = (
                "separate the columns by commas" if len(names) == 1 and ";" in names[0] else f"write {','.join(wanted)}"
            )
            raise _wrong(source, 1, f"must be a header with one column {name!r}, and {found}; {cure}")
    return len(names), [names.index(name) for name in wanted]


def _locations(rows: Iterable[Row], base: str, source: str) -> Iterator[str]:
    for row in rows:
        try:
            yield location_below(base, row.path) if is_relative(row.path) else full_location(row.path)
        except InvalidParameter as error:
            raise _wrong(source, row.line, f"names {redact(row.path)!r}, which {error.reason}") from error


def _is_plain(path: str) -> bool:
    """Whether a path stays below the folder that it begins at."""
    return is_relative(path) and ".." not in path.split("/")


def _quoted(field: str) -> str:
    doubled = field.replace('"', '""')
    return f'"{doubled}"' if any(mark in field for mark in ',"\r\n') else field


def _wrong(source: str, line: int, reason: str) -> UnusableData:
    return UnusableData(source, f"line {line} {reason}")
