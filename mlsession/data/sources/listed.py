"""Images named one by one: by the caller, by a table in memory, or by a manifest.

A store is listed to find them, where it can be: an HTTP server is asked for each file instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

from mlsession.data.ahead import worked_ahead
from mlsession.data.index import ImageIndex
from mlsession.data.locations import common_folder, keys_below
from mlsession.data.reader import StoreHandles
from mlsession.data.sources.found import Found
from mlsession.data.sources.place import Place
from mlsession.errors import InvalidParameter, KeyMissing, UnusableData
from mlsession.session.phase import Json
from mlsession.store import redact, scheme_of
from mlsession.store.bulk import describe
from mlsession.store.protocol import Entry
from mlsession.store.web import WEB

MAX_LISTINGS = 100
"""Folders that are listed one by one; for files in more of them, the folder that holds them all is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByList:
    """The caller names every file. They are taken as named: hidden ones, and whatever their names end in."""

    files: tuple[tuple[str, str], ...] | None = None
    """(key, label), ascending by key, no key twice; None where a session's record was read without its index."""
    kind: ClassVar[str] = "files_by_label"

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        if self.files is None:
            raise UnusableData(place.shown, "its files are listed in the session alone; name them again")
        labels = dict(self.files)
        return index_listed_files(named_entries(place, labels), labels, place.shown, min_classes)

    def to_json(self) -> dict[str, Json]:
        # The list itself is in the session's index.
        return {}


def listed_files(labels: Mapping[str, str]) -> ByList:
    """The rule for a label by key."""
    return ByList(files=tuple(sorted(labels.items())))


def labels_by_key(index: ImageIndex) -> dict[str, str]:
    """What an index says of each image."""
    return {key: index.classes[place] for key, place in zip(index.keys, index.labels.tolist(), strict=True)}


def located_files(named: Sequence[tuple[str, str]]) -> tuple[str, ByList]:
    """The folder and the rule of images given by (full location, label).

    Raises `InvalidParameter` for files of different stores, and for one that is named twice.
    """
    locations = [location for location, _ in named]
    folder = common_folder(locations)
    labels: dict[str, str] = {}
    for key, (location, label) in zip(keys_below(folder, locations), named, strict=True):
        assert key is not None
        if key in labels:
            what = "twice" if labels[key] == label else f"with two labels, {labels[key]!r} and {label!r}"
            raise InvalidParameter("files", redact(location), f"is named {what}; name each image once")
        labels[key] = label
    return folder, listed_files(labels)


def check_label(label: object) -> None:
    """Raises `InvalidParameter` for what is no label."""
    if not isinstance(label, str) or not label.strip() or "\0" in label:
        raise InvalidParameter("files", label, "is no label; a label is text that is not blank")
    try:
        label.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("files", label, "is a label that is not valid Unicode") from error


def named_entries(place: Place, keys: Iterable[str]) -> Iterator[Entry]:
    """The files of a place, these keys among them if they are there.

    Raises `StoreError`.
    """
    if scheme_of(place.url) not in WEB:
        yield from place.entries(folders_to_list(keys))
        return
    with closing(StoreHandles(place.policy.opener(place.url, place.open))) as handles:

        def described(key: str) -> Entry | None:
            try:
                return describe(handles.here(), key)
            except KeyMissing:
                return None

        yield from filter(None, worked_ahead(described, list(keys)))


def index_listed_files(
    entries: Iterable[Entry], labels: Mapping[str, str], source: str, min_classes: int = 2
) -> ImageIndex:
    """The index of the files that are named in `labels` (key to label), out of a listing that has them.

    `source` is for messages. Raises `UnusableData` also for one that the listing has not.
    """
    if not labels:
        raise UnusableData(source, "there are no images in this list; name some")
    found = Found()
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


def folders_to_list(keys: Iterable[str]) -> Sequence[str]:
    """Folders that hold all of the keys, none in another: a few of them, or only "", the root."""
    folders: list[str] = []
    for folder in sorted({key.rpartition("/")[0] + "/" for key in keys}):
        if folder == "/":
            return ("",)
        if not (folders and folder.startswith(folders[-1])):
            folders.append(folder)
    return [folder.rstrip("/") for folder in folders] if len(folders) <= MAX_LISTINGS else ("",)
