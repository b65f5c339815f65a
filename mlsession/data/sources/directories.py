"""Labelled directories: the label is the first-level sub-folder.

    animals/cat/1.jpg  animals/cat/more/2.PNG  animals/dog/3.webp

The rules are in docs/data.md. A folder whose sub-folders are called train, val and test, and hold folders of their
own, is divided into parts: then these are no labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsession.data.index import ImageIndex
from mlsession.data.names import is_hidden, is_hidden_key, is_image_name, part_named
from mlsession.data.sources.found import Found
from mlsession.data.sources.place import Place, check_local_folder
from mlsession.errors import DividedData, UnusableData
from mlsession.session.phase import Json
from mlsession.store import is_local
from mlsession.store.protocol import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ByFolder:
    """The label is the name of the first-level sub-folder, exactly as the store gives it."""

    kind: ClassVar[str] = "labeled_directories"

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        folders = local_class_folders(Path(place.url)) if is_local(place.url) else ()
        return index_labeled_directories(place.entries(), folders, place.shown, min_classes)

    def to_json(self) -> dict[str, Json]:
        return {}


def local_class_folders(root: Path) -> tuple[str, ...]:
    """The first-level sub-folders of a local folder that count as classes, also those that hold nothing.

    Raises `UnusableData` when there is no such folder.
    """
    check_local_folder(root, "give the folder that holds one folder per label")
    return tuple(sorted(item.name for item in root.iterdir() if item.is_dir() and not is_hidden(item.name)))


def index_labeled_directories(
    entries: Iterable[Entry], folders: Iterable[str], source: str, min_classes: int = 2
) -> ImageIndex:
    """The index of a listing by `ByFolder`. `folders` are first-level names that may hold nothing, so that no entry
    shows them.

    `source` is for messages. Raises `DividedData`, and `UnusableData`: see `DataSource.index`.
    """
    found = Found()
    empty, loose, deep = set(folders), 0, False
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
        deep = deep or "/" in path
        found.add(entry, label)
    if deep and (parts := parts_of(empty)):
        raise DividedData(source, parts)
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


def parts_of(folders: Iterable[str]) -> dict[str, str]:
    """The folder of each part (`PART_NAMES`) where all of these are parts, and one is to train on; else nothing.

    Two folders for one part are as good as labels: nobody could tell which of them is meant.
    """
    parts: dict[str, str] = {}
    for folder in sorted(folders):
        part = part_named(folder)
        if part is None or part in parts:
            return {}
        parts[part] = folder
    return parts if "training" in parts else {}
