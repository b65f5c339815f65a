"""An export from model to file: encode, prove, write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mlsession.errors import InvalidParameter
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.plugins import offered_suffixes
from mlsession.export.protocol import Exporter, Images, export_suffix, exporter_for
from mlsession.export.report import ExportReport
from mlsession.export.requirements import check_installed
from mlsession.export.write_file import remove_leftovers, write_atomically
from mlsession.export.write_folder import check_package, write_package
from mlsession.store import check_written_key, is_local, join_url, local_path, open_store, parent_url, redact, url_name

__all__ = ["check_destination", "export_model", "report_url", "write_atomically", "write_encoded"]

Model = TypeVar("Model")

REPORT = ".report.json"
"""Ends the name of the report that lies beside an export."""
MOST_NAME_BYTES = 255 - 48
"""Of a name, so that what a writer has beside it for a while has one, too: all usual file systems take 255."""


def export_model(
    model: Model,
    url: str,
    metadata: ModelMetadata,
    images: Images,
    exporters: Mapping[str, Exporter[Model]],
    storage_options: Mapping[str, object] | None = None,
    num_photos: int = 0,
) -> ExportReport:
    """Write a model in the format that `url` ends with, after proving the bytes on `images` (uint8 [N, side, side, 3]).

    `num_photos` of these are photos of the session, as the report says, which is written beside the model: see
    `report_url`. Raises `InvalidParameter` for an unknown suffix and for what the format cannot express,
    `InternalError` if the export's answers differ from the model's (then nothing is written), and `StoreError`.
    """
    exporter = exporter_for(export_suffix(url, lambda: tuple(exporters)), exporters)
    encoded = exporter.encode(model, metadata)
    report = exporter.verify(redact(url), encoded, model, images)
    report = replace(report, num_photos=min(num_photos, report.num_images))
    remove_leftovers(url)  # First, as they may be what fills the disk.
    write_encoded(url, encoded, storage_options)
    write_atomically(report_url(url), report.to_bytes(), storage_options)
    return report


def report_url(url: str) -> str:
    """Where the report of an export lies: `Animals.onnx.report.json` beside `Animals.onnx`."""
    return join_url(parent_url(url), f"{url_name(url)}{REPORT}")


def check_destination(url: str, storage_options: Mapping[str, object] | None = None) -> None:
    """Refuse, before any work is done, what `export_model` could not write to. Nothing is written.

    Raises `InvalidParameter` for an unknown suffix or scheme, a name that not every disk can hold, a URL without a
    folder above it, a local one that may not be written to, a folder where a file is to be, and a package that would
    replace what is none; `UsageError` for a format whose package is not installed; for packages `StoreError` too, as
    what is there is looked at.
    """
    suffix = export_suffix(url, offered_suffixes)
    check_name(url, beside=REPORT)
    check_written_key(url_name(url))
    check_place(url)
    open_store(parent_url(url), storage_options).close()
    check_installed(suffix)
    if suffix == ".mlpackage":
        check_package(url, storage_options)
    elif is_local(url) and Path(local_path(url)).is_dir():
        raise InvalidParameter("path", url, f"is a folder, and {suffix} is one file; remove it or name another")
    if is_local(url) and Path(local_path(report_url(url))).is_dir():
        reason = f"{report_url(url)} is a folder, and the report of the export goes there; remove it or name another"
        raise InvalidParameter("path", url, reason)


def check_name(url: str, beside: str = "") -> None:
    """Raise `InvalidParameter` for a local path whose names are longer than file systems take; `beside` is what the
    last one gets added for the file next to it."""
    for part in Path(local_path(url)).parts if is_local(url) else ():
        if len(part.encode()) > MOST_NAME_BYTES - len(beside):
            reason = f"a name in it has {len(part.encode())} bytes, and {MOST_NAME_BYTES - len(beside)} can be"
            raise InvalidParameter("path", url, f"{reason}; choose a shorter one")


def check_place(url: str, *, is_folder: bool = False) -> None:
    """Raise `InvalidParameter` for a local path below a file, or in a folder that may not be written to.

    The nearest folder that is there is looked at; of a path that `is_folder` that may be itself.
    """
    if not is_local(url):
        return
    place = Path(local_path(url)) if is_folder else Path(local_path(url)).parent
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise InvalidParameter("path", url, f"{place} is no folder; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        reason = f"the folder {place} may not be written to; name another place, or change what it allows"
        raise InvalidParameter("path", url, reason)


def write_encoded(url: str, encoded: Encoded, storage_options: Mapping[str, object] | None = None) -> None:
    """Write or replace an export at a path or an fsspec URL; no reader ever sees a part of it.

    Raises as `write_atomically` and `write_package` do.
    """
    if encoded.is_folder:
        write_package(url, encoded.files, storage_options)
    else:
        write_atomically(url, encoded.data, storage_options)
