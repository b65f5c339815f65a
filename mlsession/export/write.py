"""An export from model to file: encode, prove, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Exporter, Images, export_suffix, exporter_for
from mlsession.export.report import ExportReport
from mlsession.export.write_file import write_atomically
from mlsession.export.write_folder import check_package, write_package
from mlsession.store import open_store, parent_url, redact

__all__ = ["check_destination", "export_model", "write_atomically", "write_encoded"]

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
    encoded = exporter.encode(model, metadata)
    report = exporter.verify(redact(url), encoded, model, images)
    write_encoded(url, encoded, storage_options)
    return report


def check_destination(url: str, storage_options: Mapping[str, object] | None = None) -> None:
    """Refuse, before any work is done, what `export_model` could not write to. Nothing is written.

    Raises `InvalidParameter` for an unknown suffix, an unknown scheme, a URL without a folder above it, and a package
    that would replace what is none; for packages `StoreError` too, as what is there is looked at.
    """
    suffix = export_suffix(url)
    open_store(parent_url(url), storage_options).close()
    if suffix == ".mlpackage":
        check_package(url, storage_options)


def write_encoded(url: str, encoded: Encoded, storage_options: Mapping[str, object] | None = None) -> None:
    """Write or replace an export at a path or an fsspec URL; no reader ever sees a part of it.

    Raises as `write_atomically` and `write_package` do.
    """
    if encoded.is_folder:
        write_package(url, encoded.files, storage_options)
    else:
        write_atomically(url, encoded.data, storage_options)
