"""The rules by the names that they are stored under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from mlsession.data.sources.datasets import ByDataset
from mlsession.data.sources.directories import ByFolder
from mlsession.data.sources.file_names import ByName
from mlsession.data.sources.listed import ByList, labels_by_key, listed_files
from mlsession.data.sources.manifests import ByManifest
from mlsession.data.sources.place import Labeling, ReadIndex
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json

Stored: TypeAlias = Mapping[str, Json]


def labeling_from_json(data: Stored, index: ReadIndex | None) -> Labeling:
    """Read `to_json` of a data source back; `index` gives the images that a `ByList` named.

    Raises `InvalidParameter`.
    """
    kind = data.get("kind")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    labeling = None if read is None else read(data, index)
    if labeling is None:
        raise InvalidParameter("kind", kind, "is no kind of data source that this version can read")
    return labeling


def _directories(data: Stored, index: ReadIndex | None) -> Labeling | None:
    return ByFolder()


def _files(data: Stored, index: ReadIndex | None) -> Labeling | None:
    match data:
        case {"separator": str(separator), "position": int(position)}:
            return ByName(separator=separator, position=position)
    return None


def _list(data: Stored, index: ReadIndex | None) -> Labeling | None:
    return ByList() if index is None else listed_files(labels_by_key(index()))


def _manifest(data: Stored, index: ReadIndex | None) -> Labeling | None:
    match data:
        case {"url": str(url), "root": str(root), "path_column": str(path), "label_column": str(label)}:
            return ByManifest(manifest=url, root=root, columns=(path, label))
    return None


def _dataset(data: Stored, index: ReadIndex | None) -> Labeling | None:
    match data:
        case {"count": int(count), "classes": list(classes), "labels": str(digest)}:
            return ByDataset(count=count, classes=tuple(map(str, classes)), digest=digest)
    return None


_READERS: Mapping[str, Callable[[Stored, ReadIndex | None], Labeling | None]] = MappingProxyType(
    {
        ByFolder.kind: _directories,
        ByName.kind: _files,
        ByList.kind: _list,
        ByManifest.kind: _manifest,
        ByDataset.kind: _dataset,
    }
)
