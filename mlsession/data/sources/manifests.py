"""A manifest as a source: the file says what the images are, each time that they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mlsession.data.index import ImageIndex
from mlsession.data.manifest import manifest_folder, manifest_labels, read_manifest
from mlsession.data.rows import COLUMNS, ROW, Row, form_of, table_rows, unit_of
from mlsession.data.sources.listed import ByList, index_listed_files, listed_files, named_entries
from mlsession.data.sources.place import Options, Place
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json
from mlsession.store import redact, url_name
from mlsession.store.reading import ReadPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ByManifest:
    """A file names every image, like `ByList`; it is read each time the images are listed. See `data.manifest`."""

    manifest: str
    """Where it is."""
    root: str
    """The folder where its relative paths begin."""
    columns: tuple[str, str] = COLUMNS
    """What its columns of paths and labels are called."""
    kind: ClassVar[str] = "manifest"

    def __post_init__(self) -> None:
        check_columns(self.columns)

    def folder(self, storage_options: Options | None, policy: ReadPolicy | None = None) -> str:
        """The folder that the keys of its images are relative to.

        Reads the manifest. Raises `UnusableData` with the line that is wrong, and `StoreError`.
        """
        rows = self._rows(storage_options, policy)
        folder = manifest_folder(rows, self.root, self.shown, self._unit)
        self._labels(rows, folder)
        return folder

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return redact(self.manifest)

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        labels = self._labels(self._rows(place.storage_options, place.policy), place.url)
        return index_listed_files(named_entries(place, labels), labels, self.shown, min_classes)

    def to_json(self) -> dict[str, Json]:
        path, label = self.columns
        columns: dict[str, Json] = {"path_column": path, "label_column": label}
        return {"url": redact(self.manifest), "root": redact(self.root), **columns}

    @property
    def _unit(self) -> str:
        return unit_of(form_of(url_name(self.manifest)))

    def _rows(self, storage_options: Options | None, policy: ReadPolicy | None) -> list[Row]:
        return read_manifest(self.manifest, storage_options, self.columns, policy)

    def _labels(self, rows: list[Row], folder: str) -> Mapping[str, str]:
        """Label by key."""
        return manifest_labels(rows, self.root, folder, self.shown, self._unit)


def located_table(table: object, root: str, columns: tuple[str, str]) -> tuple[str, ByList]:
    """The folder and the rule of the images of a table in memory; see `data.rows.table_rows`.

    Relative paths begin at `root`. Raises `UnusableData` with the row that is wrong, and `InvalidParameter`.
    """
    check_columns(columns)
    rows = table_rows(table, columns)
    folder = manifest_folder(rows, root, "table", ROW)
    return folder, listed_files(manifest_labels(rows, root, folder, "table", ROW))


def check_columns(columns: tuple[str, str]) -> None:
    """Raises `InvalidParameter` unless these are names of two columns."""
    for what, name in zip(COLUMNS, columns, strict=True):
        if not isinstance(name, str) or not name.strip():
            raise InvalidParameter(what, name, "must be the name of a column")
    if columns[0].strip().lower() == columns[1].strip().lower():
        raise InvalidParameter("label", columns[1], "is the column of the paths; name another one")
