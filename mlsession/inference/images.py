"""The images to predict: a folder, a manifest, files named one by one, or a data source; labels are of no account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.data.locations import common_folder, full_location, keys_below
from mlsession.data.manifest import manifest_folder, manifest_labels, read_manifest
from mlsession.data.names import is_image_name, is_manifest_name
from mlsession.data.reader import SourceReader
from mlsession.data.rows import COLUMNS, form_of, unit_of
from mlsession.data.source import DataSource
from mlsession.data.sources.found import index_images
from mlsession.data.sources.listed import index_listed_files, named_entries
from mlsession.data.sources.place import Place
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.session.phase import Json
from mlsession.store import Store, is_local, local_path, open_store, parent_url, redact, url_name
from mlsession.store.reading import ReadPolicy

ImagesInput: TypeAlias = DataSource | str | Path | Sequence[str | Path]
"""A data source; the path or URL of a folder, a manifest (.csv, ...) or an image; or several images."""

Options: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Images of one store, labelled or not."""

    url: str
    """The folder that keys are relative to."""
    about: Mapping[str, Json]
    """What a session stores of it, without credentials."""
    list_images: Callable[[ReadPolicy], ImageIndex] = field(repr=False)
    """Lists them; their one class is "". Raises `UnusableData` and `StoreError`."""
    storage_options: Options | None = field(default=None, repr=False)
    labelled: DataSource | None = None
    """Where they come from, if that is a data source."""

    def open(self) -> Store:
        """A store of the caller's own on the folder; close it in the end."""
        return open_store(self.url, self.storage_options) if self.labelled is None else self.labelled.open()

    def reader(self, policy: ReadPolicy) -> SourceReader:
        """Reads images by key in any number of threads: close it in the end."""
        clock = policy.clock if is_local(self.url) else None
        return SourceReader(policy.opener(self.url, self.open), clock, self.url)


def image_source(data: ImagesInput, storage_options: Options | None = None) -> ImageSource:
    """The images that a caller means; nothing is listed yet, but a manifest is read.

    `storage_options` are fsspec's; a `DataSource` has its own. Raises `InvalidParameter`, `UnusableData`, `StoreError`.
    """
    match data:
        case DataSource():
            return ImageSource(
                url=data.url,
                about=data.to_json(),
                list_images=lambda policy: _without_labels(data.index(min_classes=1, policy=policy)),
                storage_options=data.storage_options,
                labelled=data,
            )
        case str() | Path() if is_manifest_name(url_name(str(data))):
            return _manifest(full_location(str(data)), storage_options)
        case str() | Path() if not _is_image(str(data)):
            location = local_path(str(data)) if is_local(str(data)) else str(data)
            about: dict[str, Json] = {"kind": "images", "url": redact(location)}
            return ImageSource(
                url=location,
                about=about,
                list_images=partial(_below, location, storage_options),
                storage_options=storage_options,
            )
        case str() | Path():
            return _listed([str(data)], storage_options)
        case _:
            return _listed([str(each) for each in data], storage_options)


def _is_image(location: str) -> bool:
    """Whether a location is that of one image, as far as its name and the local disk say."""
    return is_image_name(url_name(location)) and not (is_local(location) and Path(local_path(location)).is_dir())


def _below(folder: str, options: Options | None, policy: ReadPolicy) -> ImageIndex:
    if is_local(folder) and not Path(folder).is_dir():
        is_file = Path(folder).exists()
        reason = "this is a file, and not named like an image" if is_file else "there is no such folder"
        raise UnusableData(folder, f"{reason}; check the path")
    place = Place(url=folder, storage_options=options, policy=policy)
    return index_images(place.entries(), place.shown)


def _listed(files: Sequence[str], options: Options | None) -> ImageSource:
    if not files:
        raise InvalidParameter("data", files, "names no images")
    locations = [full_location(file) for file in files]
    folder, keys = common_folder(locations), dict[str, str]()
    for location, key in zip(locations, keys_below(folder, locations), strict=True):
        assert key is not None
        if key in keys:
            raise InvalidParameter("data", redact(location), "is named twice; name each image once")
        keys[key] = ""
    return ImageSource(
        url=folder,
        about={"kind": "files", "url": redact(folder)},
        list_images=partial(_index_of, folder, keys, options, redact(folder)),
        storage_options=options,
    )


def _manifest(location: str, options: Options | None) -> ImageSource:
    base, shown, unit = parent_url(location), redact(location), unit_of(form_of(url_name(location)))
    folder = manifest_folder(read_manifest(location, options, COLUMNS[:1]), base, shown, unit)

    def list_images(policy: ReadPolicy) -> ImageIndex:
        rows = read_manifest(location, options, COLUMNS[:1], policy)
        return _index_of(folder, manifest_labels(rows, base, folder, shown, unit), options, shown, policy)

    about: dict[str, Json] = {"kind": "manifest", "url": shown, "folder": redact(folder)}
    return ImageSource(url=folder, about=about, list_images=list_images, storage_options=options)


def _index_of(
    folder: str, keys: Mapping[str, str], options: Options | None, source: str, policy: ReadPolicy
) -> ImageIndex:
    """The index of files that are named one by one, all with the label ""."""
    entries = named_entries(Place(url=folder, storage_options=options, policy=policy), keys)
    return index_listed_files(entries, keys, source, min_classes=1)


def _without_labels(index: ImageIndex) -> ImageIndex:
    return replace(index, labels=np.zeros(len(index), dtype=np.int32), classes=("",))
