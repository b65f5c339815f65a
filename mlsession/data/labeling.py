"""How images come by their labels: four rules as values, and what each makes of a listing; pure.

    ByFolder     animals/cat/1.jpg                         -> cat    the first-level sub-folder
    ByName       animals/cat.1.jpg, fold1-cat-x.png        -> cat    a part of the file's name
    ByList       {"cat": ["animals/1.jpg"]}                -> cat    as the caller says
    ByManifest   a CSV file with the line animals/1.jpg,cat -> cat   as the file says

What a rule makes of the same files never depends on the order in which a store lists them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.data.names import is_hidden_key, is_image_name
from mlsession.data.texts import Texts, TextsBuilder
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.session.phase import Json
from mlsession.store.location import redact
from mlsession.store.protocol import Entry

MAX_LISTINGS = 100
"""Folders that are listed one by one; for files in more of them, the folder that holds them all is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByFolder:
    """The label is the name of the first-level sub-folder, exactly as the store gives it."""

    kind: ClassVar[str] = "labeled_directories"

    def to_json(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByName:
    """The label is a part of the file's name; files below sub-folders are not looked at.

        buffalo.1.jpg     ".", 0  -> buffalo        fold1-foo-x.png   "-", 1   -> foo
        buffalo.jpg       ".", 0  -> buffalo        fold1-foo.png     "-", -1  -> foo

    The ending (`.jpg`) is cut off, and what is left is cut at each `separator`. Names without the separator, and with
    nothing at `position`, are of another format: those files are left out, and counted.
    """

    separator: str = "."
    position: int = 0
    """Which part, from 0; a negative one counts from the end, -1 being the last."""
    kind: ClassVar[str] = "labeled_files"

    def __post_init__(self) -> None:
        if not isinstance(self.separator, str) or not self.separator or "/" in self.separator:
            raise InvalidParameter("separator", self.separator, 'must be text without "/", such as "." or "-"')
        if isinstance(self.position, bool) or not isinstance(self.position, int):
            raise InvalidParameter("position", self.position, "must be a whole number, 0 for the first part")

    def label_of(self, name: str) -> str | None:
        """The label that the name of an image says; None for one of another format."""
        if self.separator not in name:
            return None
        parts = name.rpartition(".")[0].split(self.separator)
        if not -len(parts) <= self.position < len(parts):
            return None
        return parts[self.position] or None

    def to_json(self) -> dict[str, Json]:
        return {"separator": self.separator, "position": self.position}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByList:
    """The caller names every file. They are taken as named: hidden ones, and whatever their names end in."""

    files: tuple[tuple[str, str], ...] | None = None
    """(key, label), ascending by key, no key twice; None where a session's record was read without its index."""
    kind: ClassVar[str] = "files_by_label"

    def to_json(self) -> dict[str, Json]:
        # The list itself is in the session's index.
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByManifest:
    """A CSV file names every file, like `ByList`; it is read each time the images are listed. See `data.manifest`."""

    manifest: str
    """Where it is."""
    root: str
    """The folder where its relative paths begin."""
    kind: ClassVar[str] = "manifest"

    def to_json(self) -> dict[str, Json]:
        return {"url": redact(self.manifest), "root": redact(self.root)}


Labeling: TypeAlias = ByFolder | ByName | ByList | ByManifest


def labeling_from_json(data: Mapping[str, Json], index: Callable[[], ImageIndex] | None) -> Labeling:
    """Read `to_json` of a data source back; `index` gives the images that a `ByList` named.

    Raises `InvalidParameter`.
    """
    match data.get("kind"), data:
        case ByFolder.kind, _:
            return ByFolder()
        case ByName.kind, {"separator": str(separator), "position": int(position)}:
            return ByName(separator=separator, position=position)
        case ByManifest.kind, {"url": str(manifest), "root": str(root)}:
            return ByManifest(manifest=manifest, root=root)
        case ByList.kind, _:
            return ByList() if index is None else listed_files(labels_by_key(index()))
        case kind, _:
            raise InvalidParameter("kind", kind, "is no kind of data source that this version can read")


def listed_files(labels: Mapping[str, str]) -> ByList:
    """The rule for a label by key."""
    return ByList(files=tuple(sorted(labels.items())))


def labels_by_key(index: ImageIndex) -> dict[str, str]:
    """What an index says of each image."""
    return {key: index.classes[place] for key, place in zip(index.keys, index.labels.tolist(), strict=True)}


def index_labeled_directories(
    entries: Iterable[Entry], folders: Iterable[str], source: str, min_classes: int = 2
) -> ImageIndex:
    """The index of a listing by `ByFolder`. `folders` are first-level names that may hold nothing, so that no entry
    shows them.

    `source` is for messages. Raises `UnusableData`, see `DataSource.index`.
    """
    found = _Found()
    empty, loose = set(folders), 0
    for entry in entries:
        if is_hidden_key(entry.key):
            continue
        label, below, path = entry.key.partition("/")
        if below:
            empty.add(label)
        name = path.rpartition("/")[2] if below else label
        if not below or not is_image_name(name):
            found.ignored += 1
            loose += not below and is_image_name(name)
            continue
        found.add(entry, label)
    empty.difference_update(found.labels)
    if empty:
        others = f" (nor do {len(empty) - 1} others)" if len(empty) > 1 else ""
        raise UnusableData(
            source, f"the folder {min(empty)!r} holds no image{others}; add images such as .jpg or .png, or remove it"
        )
    if not found.keys and loose:
        raise UnusableData(
            source,
            f"there are no images in folders here, but {loose} beside them; make one folder per label, or, if their "
            "names begin with the label (cat.1.jpg), use DataSource.labeled_files (--label-from name)",
        )
    if not found.keys:
        raise UnusableData(
            source, "there are no images in folders here; check the path: one folder per label is needed"
        )
    return found.index(source, min_classes, "add a folder with images for each further label")


def index_labeled_files(entries: Iterable[Entry], rule: ByName, source: str, min_classes: int = 2) -> ImageIndex:
    """The index of a listing by `ByName`. `source` is for messages. Raises `UnusableData`, see `DataSource.index`."""
    found = _Found()
    below, other = 0, ""
    for entry in entries:
        if is_hidden_key(entry.key):
            continue
        is_image, is_below = is_image_name(entry.key.rpartition("/")[2]), "/" in entry.key
        label = rule.label_of(entry.key) if is_image and not is_below else None
        if label is not None:
            found.add(entry, label)
            continue
        found.ignored += 1
        below += is_image and is_below
        if is_image and not is_below:
            other = min(other, entry.key) if other else entry.key
    if not found.keys and other:
        raise UnusableData(
            source,
            f"no image has a label at position {rule.position} of its name cut at {rule.separator!r}, such as "
            f"{other!r}; choose another separator or position",
        )
    if not found.keys and below:
        raise UnusableData(
            source,
            f"there are no images right here, but {below} in sub-folders; if the folders are the labels, use "
            "DataSource.labeled_directories (--label-from folder)",
        )
    if not found.keys:
        raise UnusableData(source, "there are no images here; check the path")
    return found.index(source, min_classes, "add images with names of further labels")


def index_listed_files(
    entries: Iterable[Entry], labels: Mapping[str, str], source: str, min_classes: int = 2
) -> ImageIndex:
    """The index of the files that are named in `labels` (key to label), out of a listing that has them.

    `source` is for messages. Raises `UnusableData` also for one that the listing has not.
    """
    if not labels:
        raise UnusableData(source, "there are no images in this list; name some")
    found = _Found()
    missing = set(labels)
    for entry in entries:
        if entry.key in missing:
            missing.remove(entry.key)
            found.add(entry, labels[entry.key])
    if missing:
        others = f" (nor are {len(missing) - 1} others)" if len(missing) > 1 else ""
        hint = "write / between folders" if "\\" in min(missing) else "correct its path, or take it off the list"
        raise UnusableData(source, f"the file {min(missing)!r} is not there{others}; {hint}")
    return found.index(source, min_classes, "list images of each further label")


def index_images(entries: Iterable[Entry], source: str) -> ImageIndex:
    """The index of all images of a listing, at any depth and without labels: their one class is "".

    `source` is for messages. Raises `UnusableData` where there are none.
    """
    found = _Found()
    for entry in entries:
        if is_hidden_key(entry.key):
            continue
        if is_image_name(entry.key.rpartition("/")[2]):
            found.add(entry, "")
        else:
            found.ignored += 1
    if not found.keys:
        raise UnusableData(source, "there are no images here; check the path")
    return found.index(source, 1, "")


def folders_to_list(keys: Iterable[str]) -> Sequence[str]:
    """Folders that hold all of the keys, none in another: a few of them, or only "", the root."""
    folders: list[str] = []
    for folder in sorted({key.rpartition("/")[0] + "/" for key in keys}):
        if folder == "/":
            return ("",)
        if not (folders and folder.startswith(folders[-1])):
            folders.append(folder)
    return [folder.rstrip("/") for folder in folders] if len(folders) <= MAX_LISTINGS else ("",)


class _Found:
    """Images of a listing so far, as columns: a million rows stay small."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.labels: dict[str, int] = {}
        """A code for each label, in the order that they were found in."""
        self.codes = array("q")
        self.sizes = array("q")
        self.versions = TextsBuilder()
        self.ignored = 0

    def add(self, entry: Entry, label: str) -> None:
        self.keys.append(entry.key)
        self.codes.append(self.labels.setdefault(label, len(self.labels)))
        self.sizes.append(entry.size)
        self.versions.add(entry.version)

    def index(self, source: str, min_classes: int, cure: str) -> ImageIndex:
        """The index, sorted by key. Raises `UnusableData` for too few classes, and for names that are no Unicode."""
        order = np.array(sorted(range(len(self.keys)), key=self.keys.__getitem__), dtype=np.int64)
        classes = sorted(self.labels)
        if len(classes) < min_classes:
            raise UnusableData(source, f"the only class is {classes[0]!r}; {cure}")
        try:
            keys, versions = Texts.of(self.keys), self.versions.texts()
        except UnicodeEncodeError as error:
            raise UnusableData(
                source, f"the file name {error.object!r} is not valid Unicode; rename the file"
            ) from error
        places = {self.labels[name]: place for place, name in enumerate(classes)}
        labels = np.array([places[code] for code in range(len(places))], dtype=np.int32)
        return ImageIndex(
            keys=keys.take(order),
            labels=labels[np.asarray(self.codes)[order]],
            sizes=np.asarray(self.sizes, dtype=np.int64)[order],
            versions=versions.take(order),
            classes=tuple(classes),
            ignored=self.ignored,
        )
