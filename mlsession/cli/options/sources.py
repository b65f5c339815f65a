"""Labelled images, as typed: what a command line says of them becomes a source. Raises `InvalidParameter`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlsession.cli.options.arguments import is_manifest
from mlsession.errors import InvalidParameter

if TYPE_CHECKING:
    from mlsession.data.source import DataSource
    from mlsession.data.validation import Validation
    from mlsession.store.reading import ReadPolicy

Options = Mapping[str, object]


def source(data: str, options: Options, label_from: str = "folder") -> DataSource:
    """Labelled images: a manifest if it ends like one (`MANIFEST_SUFFIXES`), else a folder.

    `label_from` says where in a folder the labels are: `folder` (sub-folders) or `name` (the files' names, up to the
    first period), `name:SEPARATOR` or `name:SEPARATOR:POSITION`, such as `name:-:1`; and where in a manifest:
    `columns:PATH,LABEL`, what its columns are called.
    """
    from mlsession.data.source import DataSource

    rule, _, details = label_from.partition(":")
    path, comma, label = details.partition(",")
    if rule not in ("folder", "name", "columns") or (rule == "folder" and label_from != rule):
        reason = "must be folder, name, name:SEPARATOR:POSITION, or columns:PATH,LABEL"
        raise InvalidParameter("label-from", label_from, reason)
    if rule == "columns" and not (path and comma and label):
        raise InvalidParameter("label-from", label_from, "name two columns, as in columns:file,class")
    if is_manifest(data):
        columns = {"path": path, "label": label} if rule == "columns" else {}
        return DataSource.manifest(data, storage_options=options, policy=patient_reads(), **columns)
    if rule != "name":
        return DataSource.labeled_directories(data, options)
    separator, position = details or ".", 0
    if match := re.fullmatch(r"(.+):(-?\d+)", details):
        separator, position = match[1], int(match[2])
    return DataSource.labeled_files(data, separator, position, options)


def check_label_from(label_from: str, *given: str | None) -> None:
    """Raises `InvalidParameter` where `label_from` says something that none of the data `given` has; None is none."""
    rule = label_from.partition(":")[0]
    manifests = [is_manifest(data) for data in given if data is not None]
    if rule == "columns" and not any(manifests):
        reason = "names columns of a manifest, and this is a folder; give the .csv, .tsv, .jsonl or .parquet, or say "
        raise InvalidParameter("label-from", label_from, f"{reason}folder or name")
    if rule == "name" and all(manifests):
        reason = "is of folders, and a manifest says what its labels are; leave it out, or say columns:PATH,LABEL"
        raise InvalidParameter("label-from", label_from, reason)


def patient_reads() -> ReadPolicy:
    """How tables of images are read, before there is a session: what fails is tried again, with a remark."""
    from mlsession.cli.output import tell_retry
    from mlsession.store.reading import ReadPolicy
    from mlsession.store.retrying import Backoff

    return ReadPolicy(backoff=Backoff(), on_retry=tell_retry)


def validation(text: str | None, seed: int, options: Options, label_from: str = "folder") -> Validation:
    """A folder or manifest, a ratio, "none", or None for the automatic choice."""
    from mlsession.data.validation import Validation

    if text is None:
        return Validation.automatic(seed)
    if text == "none":
        return Validation.none()
    ratio = _ratio(text)
    return Validation.data(source(text, options, label_from)) if ratio is None else Validation.split(ratio, seed)


def validation_data(text: str | None) -> str | None:
    """The folder or manifest that the option names, if it does."""
    return None if text in (None, "none") or _ratio(text) is not None else text


def _ratio(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
