"""Where labelled images come from: a folder with one sub-folder per label, in any store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.session.phase import Json
from mlsession.store import Entry, Store, is_local, local_path, open_store, redact

KIND = "labeled_directories"
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""What the name of an image ends in, in small or capital letters; other files are left out."""
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""What operating systems leave in folders, in small or capital letters; left out like names that begin with a dot."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DataSource:
    """Labelled images in a folder of a store.

        animals/cat/1.jpg  animals/cat/more/2.PNG  animals/dog/1.jpg   ->   cat, cat, dog

    The label is the name of the first-level sub-folder, exactly as the store gives it: no letters are folded or
    normalised, so two names that differ by one byte are two classes. Any depth below belongs to it. Left out are
    hidden files and folders, `SYSTEM_NAMES`, files beside the sub-folders, and files not named like an image.
    """

    url: str
    """The folder: any location `open_store` takes. Shown and stored without credentials."""
    storage_options: Mapping[str, object] | None = field(default=None, compare=False)
    """For fsspec, to reach the store; never shown, never stored."""

    @classmethod
    def labeled_directories(cls, url: str | Path, storage_options: Mapping[str, object] | None = None) -> DataSource:
        """The images below a folder; nothing is read yet. A local path is made absolute.

        Raises `InvalidParameter` for an empty URL.
        """
        location = str(url)
        if not location:
            raise InvalidParameter("url", location, 'is empty; write "." for the current folder')
        try:
            location.encode()
        except UnicodeEncodeError as error:
            raise InvalidParameter("url", location, "is not valid Unicode; rename the folder") from error
        return cls(url=local_path(location) if is_local(location) else location, storage_options=storage_options)

    def __repr__(self) -> str:
        return f"DataSource.{KIND}({redact(self.url)!r})"

    def open(self) -> Store:
        """A store of the caller's own on the folder, to read images by key; close it in the end."""
        return open_store(self.url, self.storage_options)

    def index(self, *, min_classes: int = 2) -> ImageIndex:
        """List the folder. To train takes two classes; test data may have fewer.

        Raises `UnusableData` for a folder that is missing, holds no images, a sub-folder without images, or fewer
        than `min_classes` of them; `StoreError` when the store cannot be listed.
        """
        shown = redact(self.url)
        folders = local_class_folders(Path(self.url)) if is_local(self.url) else ()
        with closing(self.open()) as store:
            return index_labeled_directories(store.list(), folders, shown, min_classes)

    def to_json(self) -> dict[str, Json]:
        """The stored form: the URL, without credentials."""
        return {"kind": KIND, "url": redact(self.url)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json], storage_options: Mapping[str, object] | None = None) -> DataSource:
        """Read `to_json` back; what reaches the store has to be given again. Raises `InvalidParameter`."""
        kind, url = data.get("kind"), data.get("url")
        if kind != KIND:
            raise InvalidParameter("kind", kind, f"the only kind of data source is {KIND}")
        if not isinstance(url, str):
            raise InvalidParameter("url", url, "a data source needs a URL")
        return cls(url=url, storage_options=storage_options)


def index_labeled_directories(
    entries: Iterable[Entry], folders: Iterable[str], source: str, min_classes: int = 2
) -> ImageIndex:
    """The index of a listing; pure. `folders` are first-level names that may hold nothing, so that no entry shows them.

    `source` is for messages. Raises `UnusableData`, see `DataSource.index`.
    """
    keys: list[str] = []
    sizes: list[int] = []
    versions: list[str] = []
    empty = set(folders)
    ignored = 0
    for entry in entries:
        parts = entry.key.split("/")
        if any(is_hidden(part) for part in parts):
            continue
        if len(parts) > 1:
            empty.add(parts[0])
        if len(parts) == 1 or not is_image_name(parts[-1]):
            ignored += 1
            continue
        keys.append(entry.key)
        sizes.append(entry.size)
        versions.append(entry.version)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    keys = [keys[row] for row in order]
    names = [key.partition("/")[0] for key in keys]
    classes = sorted(set(names))
    _check(keys, classes, empty.difference(classes), source, min_classes)
    places = {name: place for place, name in enumerate(classes)}
    return ImageIndex(
        keys=tuple(keys),
        labels=np.fromiter((places[name] for name in names), dtype=np.int32, count=len(names)),
        sizes=np.fromiter((sizes[row] for row in order), dtype=np.int64, count=len(order)),
        versions=tuple(versions[row] for row in order),
        classes=tuple(classes),
        ignored=ignored,
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out silently."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image; its bytes are not looked at."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and dot + suffix.lower() in IMAGE_SUFFIXES


def local_class_folders(root: Path) -> tuple[str, ...]:
    """The first-level sub-folders of a local folder that count as classes, also those that hold nothing.

    Raises `UnusableData` when there is no such folder.
    """
    if not root.exists():
        raise UnusableData(str(root), "there is no such folder; check the path")
    if not root.is_dir():
        raise UnusableData(str(root), "this is a file, not a folder; give the folder that holds one folder per label")
    return tuple(sorted(item.name for item in root.iterdir() if item.is_dir() and not is_hidden(item.name)))


def _check(keys: list[str], classes: list[str], empty: set[str], source: str, min_classes: int) -> None:
    if empty:
        others = f" (nor do {len(empty) - 1} others)" if len(empty) > 1 else ""
        raise UnusableData(
            source, f"the folder {min(empty)!r} holds no image{others}; add images such as .jpg or .png, or remove it"
        )
    if not keys:
        raise UnusableData(
            source, "there are no images in folders here; check the path: one folder per label is needed"
        )
    if len(classes) < min_classes:
        raise UnusableData(source, f"the only class is {classes[0]!r}; add a folder with images for each further label")
    for key in keys:
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise UnusableData(source, f"the file name {key!r} is not valid Unicode; rename the file") from error
