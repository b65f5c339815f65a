"""A manifest: a file that names images with their labels; read and written here, in the forms of `data.rows`.

    path,label
    cat/1.jpg,cat
    "dog/2, left.jpg",dog

A path is relative, by default to the manifest's folder, or a full path or URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlsession.data.locations import common_folder, full_location, is_relative, keys_below, location_below, parts_below
from mlsession.data.names import plain_path
from mlsession.data.rows import COLUMNS, LINE, Row, form_of, parse_rows, wrong
from mlsession.data.tables import read_table
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.store import is_local, join_url, redact, url_name
from mlsession.store.reading import ReadPolicy


def read_manifest(
    url: str,
    storage_options: Mapping[str, object] | None,
    columns: Sequence[str] = COLUMNS,
    policy: ReadPolicy | None = None,
) -> list[Row]:
    """The images that a manifest in any store names; see `parse_rows`, `read_table`.

    Raises `UnusableData`, and `StoreError`.
    """
    return parse_rows(read_table(url, storage_options, policy), redact(url), columns, form_of(url_name(url)))


def manifest_folder(rows: Sequence[Row], base: str, source: str, unit: str = LINE) -> str:
    """The folder that the keys of a manifest's images are relative to.

    `base` is where relative paths begin, and the folder itself unless some path is a full one or leads out of it by
    ".."; then it is the deepest folder that holds all images. Raises `UnusableData` if there is none.
    """
    if all(_is_plain(row.path) for row in rows):
        return base
    try:
        return common_folder(list(_locations(rows, base, source, unit)))
    except InvalidParameter as error:
        raise UnusableData(source, str(error)) from error


def manifest_labels(rows: Sequence[Row], base: str, folder: str, source: str, unit: str = LINE) -> dict[str, str]:
    """Label by key relative to `folder`, see `manifest_folder`.

    Raises `UnusableData` with the line for an image that lies elsewhere, or that another line names, too.
    """
    keys: Sequence[str | None]
    if folder == base and all(_is_plain(row.path) for row in rows):
        # In a bucket "a//b" is another key than "a/b"; on a disk it is the same file.
        empty = ("", ".") if is_local(base) else (".",)
        keys = ["/".join(part for part in row.path.split("/") if part not in empty) for row in rows]
    else:
        keys = keys_below(folder, list(_locations(rows, base, source, unit)))
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for row, key in zip(rows, keys, strict=True):
        if key is None:
            reason = f"names {redact(row.path)!r}, which does not lie in {redact(folder)} like the others"
            raise wrong(source, row.line, reason, unit)
        if key in lines:
            other = "" if labels[key] == row.label else f" with the label {labels[key]!r}"
            reason = f"names {redact(row.path)!r}, and so does {unit} {lines[key]}{other}; remove one"
            raise wrong(source, row.line, reason, unit)
        labels[key], lines[key] = row.label, row.line
    return labels


def manifest_bytes(rows: Iterable[tuple[str, str]]) -> bytes:
    """A manifest of (path, label), in this order."""
    lines = [",".join(map(_quoted, fields)) for fields in (COLUMNS, *rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def manifest_path(folder: str, key: str, output: str) -> str:
    """How a manifest in the folder `output` names the image `key` of `folder`: relative to it where it lies below.

    Credentials are left out. No spreadsheet takes it for a formula.
    """
    below = parts_below(folder, output)
    if not below and folder.rstrip("/") != output.rstrip("/"):
        return join_url(redact(folder), key)
    path = "/".join((*below, key))
    return plain_path(path) if _is_plain(path) else f"./{path}"


def _locations(rows: Iterable[Row], base: str, source: str, unit: str) -> Iterator[str]:
    for row in rows:
        try:
            yield location_below(base, row.path) if is_relative(row.path) else full_location(row.path)
        except InvalidParameter as error:
            raise wrong(source, row.line, f"names {redact(row.path)!r}, which {error.reason}", unit) from error


def _is_plain(path: str) -> bool:
    """Whether a path stays below the folder that it begins at."""
    return is_relative(path) and ".." not in path.split("/")


def _quoted(field: str) -> str:
    doubled = field.replace('"', '""')
    return f'"{doubled}"' if any(mark in field for mark in ',"\r\n') else field
