"""Labelled files: the label is a part of the file's name.

animals/cat.1.jpg  animals/cat.2.jpg  animals/dog.3.webp
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsession.data.index import ImageIndex
from mlsession.data.names import is_hidden_key, is_image_name
from mlsession.data.sources.found import Found
from mlsession.data.sources.place import Place, check_local_folder
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.session.phase import Json
from mlsession.store import is_local
from mlsession.store.protocol import Entry


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

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        if is_local(place.url):
            check_local_folder(Path(place.url), "give the folder that holds the images")
        return index_labeled_files(place.entries(), self, place.shown, min_classes)

    def to_json(self) -> dict[str, Json]:
        return {"separator": self.separator, "position": self.position}


def index_labeled_files(entries: Iterable[Entry], rule: ByName, source: str, min_classes: int = 2) -> ImageIndex:
    """The index of a listing by `ByName`. `source` is for messages. Raises `UnusableData`, see `DataSource.index`."""
    found = Found()
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
