"""A model as a folder: its files, their proofs, its labels and figures, and a card, as the Hugging Face Hub takes it.

    README.md              the card, written first as a notice that the folder is not whole, and last as itself
    model.safetensors      the saved model; and model.onnx, ... in the formats that are asked for
    model.*.report.json    how each was proved
    labels.json            the labels, in the order of the probabilities
    metrics.json           the figures by part, as `--json` prints them; where there are any

All are made and proved before the first is written. A card says by its digest that it was written here: with it the
files of these names are replaced; without it nothing is, and what else lies in the folder is never touched.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mlsession.cards import card_text, is_sealed, sealed
from mlsession.classifier.format import IN_FOLDER
from mlsession.classifier.model import ImageModel
from mlsession.errors import InvalidParameter, KeyMissing
from mlsession.export.compression import SUFFIXES as COMPRESSED_SUFFIXES
from mlsession.export.compression import Compression, checked_folder_compression
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.plugins import offered_suffixes
from mlsession.export.protocol import EXPORT_SUFFIXES, export_suffix
from mlsession.export.report import ExportReport
from mlsession.export.requirements import check_installed
from mlsession.export.write import check_name, check_place, write_atomically, write_encoded
from mlsession.export.write_file import remove_leftovers
from mlsession.store import Store, is_local, join_url, local_path, open_store, redact, url_name
from mlsession.store.failures import os_failure
from mlsession.training.images.session_photos import SessionPhoto
from mlsession.training.models.card_facts import card_facts
from mlsession.training.models.exporting import (
    MOST_PHOTOS,
    exporter_of,
    pictures,
    proof_photos,
    smaller,
    with_facts,
)
from mlsession.training.models.record import Findings
from mlsession.training.parameters import ModelParameters

CARD = "README.md"
LABELS = "labels.json"
METRICS = "metrics.json"
NAME, SAVED = PurePosixPath(IN_FOLDER).stem, PurePosixPath(IN_FOLDER).suffix
"""What files are called before their suffix, and the format that is in every folder, which `load` reads."""

_UNFINISHED = """# Not whole

This folder is being written, or writing it was interrupted: export the model to it once more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """What was written."""

    path: str
    """The folder, without credentials."""
    files: tuple[str, ...]
    """All that was written, by name in it; a package by that of its folder."""
    reports: tuple[ExportReport, ...]
    """Of the model's files; their paths are those in the folder."""


def write_folder(
    model: ImageModel,
    url: str,
    metadata: ModelMetadata,
    parameters: ModelParameters | None,
    findings: Findings,
    formats: Iterable[str] = (),
    storage_options: Mapping[str, object] | None = None,
    *,
    compress: str | None = None,
    max_changed: float | None = None,
) -> ModelFolder:
    """Write a model as a folder; see `Classifier.write_folder`."""
    suffixes = suffixes_of(formats)
    compression = checked_folder_compression(suffixes, compress, max_changed)
    check_folder(url, suffixes, storage_options)
    about = with_facts(metadata, model, findings.metrics)
    photos = proof_photos(findings.results, model.side, compression)
    exports = [
        _proved(model, suffix, about, photos, compression if suffix in COMPRESSED_SUFFIXES else None)
        for suffix in suffixes
    ]
    reports = tuple(report for _, report in exports)
    card = sealed(card_text(card_facts(title_of(url), model, metadata, parameters, findings, reports)))
    texts = {
        **{f"{report.path}.report.json": report.to_bytes() for report in reports},
        LABELS: _json(list(model.labels)),
        **({METRICS: _json(_figures(findings))} if findings.metrics else {}),
    }
    remove_leftovers(join_url(url, CARD))
    _announce(url, storage_options)
    _remove_others(url, [*(report.path for report in reports), *texts], storage_options)
    for encoded, report in exports:
        write_encoded(join_url(url, report.path), encoded, storage_options)
    for name, data in {**texts, CARD: card.encode()}.items():
        write_atomically(join_url(url, name), data, storage_options)
    files = (*(report.path for report in reports), *texts, CARD)
    return ModelFolder(path=redact(url), files=files, reports=reports)


def is_folder(url: str) -> bool:
    """Whether a path or URL asks for a folder: it ends with a slash, or is one, and names no format.

    A package is a folder of a format: "Animals.mlpackage/" is one, too.
    """
    if url_name(url).lower().endswith((*EXPORT_SUFFIXES, *offered_suffixes())):
        return False
    return url.endswith("/") or (is_local(url) and _is_directory(url))


def suffixes_of(formats: Iterable[str]) -> tuple[str, ...]:
    """The formats of a folder: the saved model, and those named, "onnx" or ".onnx". Raises `InvalidParameter`."""
    found = [SAVED]
    for name in formats:
        suffix = f".{name.strip().lower().removeprefix('.')}"
        try:
            found.append(export_suffix(f"{NAME}{suffix}", offered_suffixes))
        except InvalidParameter as error:
            known = ", ".join(each[1:] for each in (*EXPORT_SUFFIXES, *offered_suffixes()))
            raise InvalidParameter("format", name, f"is not known; there are {known}") from error
    return tuple(dict.fromkeys(found))


def title_of(url: str) -> str:
    """What a folder's card is headed with: its name, without the credentials of a URL that has none."""
    return url_name(redact(url)) or NAME


def check_folder(
    url: str, suffixes: Sequence[str] = (SAVED,), storage_options: Mapping[str, object] | None = None
) -> None:
    """Refuse, before any work is done, a folder that `write_folder` could not write to. Nothing is written.

    Raises `InvalidParameter` where a file has its name, or files of these names are there that were not written here,
    or whose card somebody has worked on; `UsageError` for a format whose package is not installed; and `StoreError`.
    """
    for suffix in suffixes:
        check_installed(suffix)
    check_name(url)
    if is_local(url) and _is_file(url):
        raise InvalidParameter("path", url, "is a file, and a model with its card is a folder; name another")
    check_place(url, is_folder=True)
    with closing(open_store(url, storage_options)) as store:
        card = _card(store)
        if card is not None and not is_sealed(card):
            reason = f"has a {CARD} that was not written here, or was changed since; move it away, or name another"
            raise InvalidParameter("path", redact(url), f"{reason} folder")
        if any(True for _ in store.list("log")):
            raise InvalidParameter("path", redact(url), "holds a session; name another folder")
        others = _found(url, store) & _names() if card is None else set()
        if others:
            reason = f"has a {min(others)} that was not written here, and would be lost; move it away, or name another"
            raise InvalidParameter("path", redact(url), f"{reason} folder")


def _proved(
    model: ImageModel,
    suffix: str,
    metadata: ModelMetadata,
    photos: Sequence[SessionPhoto],
    compression: Compression | None,
) -> tuple[Encoded, ExportReport]:
    """A file in memory, proved; its report calls it by its name in the folder."""
    if compression is None:
        taken, exporter = _some(photos, MOST_PHOTOS), exporter_of(suffix)
    else:
        taken, exporter = photos, smaller(suffix, compression, photos)
    encoded = exporter.encode(model, metadata)
    report = exporter.verify(f"{NAME}{suffix}", encoded, model, pictures(model.side, taken))
    return encoded, replace(report, num_photos=min(len(taken), report.num_images))


def _some(photos: Sequence[SessionPhoto], most: int) -> Sequence[SessionPhoto]:
    """So many of them, from all over."""
    count = min(most, len(photos))
    return [photos[place * len(photos) // count] for place in range(count)]


def _announce(url: str, storage_options: Mapping[str, object] | None) -> None:
    """From now on the folder is known to be ours, and not to be whole."""
    write_atomically(join_url(url, CARD), sealed(_UNFINISHED).encode(), storage_options)


def _remove_others(url: str, kept: Sequence[str], storage_options: Mapping[str, object] | None) -> None:
    """Files of our names that are not written this time, of a format that is no longer asked for, describe another
    model than the card would."""
    with closing(open_store(url, storage_options)) as store:
        for name in (_found(url, store) & _names()) - {CARD, *kept}:
            if is_local(url) and _is_directory(join_url(url, name)):
                shutil.rmtree(local_path(join_url(url, name)), ignore_errors=True)
                continue
            for entry in list(store.list(name)):
                store.delete(entry.key)
            store.delete(name)


def _found(url: str, store: Store) -> set[str]:
    """The names in a folder. Of a local one no deeper: whoever exports into their home has more below it than we are
    to read. Raises `StoreError`."""
    if not is_local(url):
        return {entry.key.partition("/")[0] for entry in store.list()}
    folder = Path(local_path(url))
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise os_failure(error, str(folder), folder.name) from error


def _names() -> frozenset[str]:
    models = [f"{NAME}{suffix}" for suffix in (*EXPORT_SUFFIXES, *offered_suffixes())]
    return frozenset((CARD, LABELS, METRICS, *models, *(f"{name}.report.json" for name in models)))


def _card(store: Store) -> str | None:
    try:
        return store.get(CARD).decode("utf-8", errors="replace")
    except KeyMissing:
        return None


def _figures(findings: Findings) -> dict[str, object]:
    return {part: metrics.to_json() for part, metrics in findings.metrics.items()}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _is_directory(url: str) -> bool:
    return _is(Path.is_dir, url)


def _is_file(url: str) -> bool:
    return _is(Path.is_file, url)


def _is(kind: Callable[[Path], bool], url: str) -> bool:
    try:
        return kind(Path(local_path(url)))
    except OSError:  # Its name is too long, or a folder above it is not ours to look into.
        return False
