"""An export from model to file: encode, prove, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mlsession.errors import DamagedData
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Exporter, Images, export_suffix, exporter_for
from mlsession.export.report import ExportReport
from mlsession.store import Store, open_store, parent_url, redact, url_name

Model = TypeVar("Model")


def export_model(
    model: Model,
    url: str,
    metadata: ModelMetadata,
    images: Images,
    exporters: Mapping[str, Exporter[Model]],
    storage_options: Mapping[str, object] | None = None,
) -> ExportReport:
    """Write a model in the format that `url` ends with, after proving the bytes on `images` (uint8 [N, side, side, 3]).

    Raises `InvalidParameter` for an unknown suffix and for what the format cannot express, `InternalError` if the
    export's answers differ from the model's (then nothing is written), and `StoreError`.
    """
    exporter = exporter_for(export_suffix(url), exporters)
    data = exporter.encode(model, metadata)
    report = exporter.verify(redact(url), data, model, images)
    write_atomically(url, data, storage_options)
    return report


def check_destination(url: str, storage_options: Mapping[str, object] | None = None) -> None:
    """Refuse, before any work is done, what `export_model` could not write to. Nothing is written.

    Raises `InvalidParameter` for an unknown suffix, an unknown scheme, and a URL without a folder above it.
    """
    export_suffix(url)
    open_store(parent_url(url), storage_options).close()


def write_atomically(url: str, data: bytes, storage_options: Mapping[str, object] | None = None) -> None:
    """Write or replace one file of any store (a path, or an fsspec URL); no reader ever sees a part of it.

    Folders are made as needed. The file is read back. Raises `StoreError`, `DamagedData` if it is not what was
    written, and `InvalidParameter` for a name that not every disk can hold.
    """
    store = open_store(parent_url(url), storage_options)
    try:
        put_and_read_back(store, url_name(url), data)
    finally:
        store.close()


def put_and_read_back(store: Store, key: str, data: bytes) -> None:
    """Write or replace a key, and raise `DamagedData` unless the store then gives the same bytes."""
    store.put(key, data)
    if store.get(key) != data:
        raise DamagedData(key, "it reads back otherwise than it was written; check the disk and write it again")
