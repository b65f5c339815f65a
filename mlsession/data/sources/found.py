"""Images of a listing so far, as columns: what every rule fills, and makes an index of."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.data.names import is_hidden_key, is_image_name
from mlsession.data.texts import Texts, TextsBuilder
from mlsession.errors import UnusableData
from mlsession.store.protocol import Entry


class Found:
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
        """The index, sorted by key; what was found is handed over.

        Raises `UnusableData` for too few classes, and for names that are no Unicode.
        """
        order = np.array(sorted(range(len(self.keys)), key=self.keys.__getitem__), dtype=np.int64)
        classes = sorted(self.labels)
        if len(classes) < min_classes:
            raise UnusableData(source, f"the only class is {classes[0]!r}; {cure}")
        try:
            keys, versions = Texts.of(self.keys), self.versions.texts()
            self.keys = []  # A million names take as much as all else that there is of them.
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


def index_images(entries: Iterable[Entry], source: str) -> ImageIndex:
    """The index of all images of a listing, at any depth and without labels: their one class is "".

    `source` is for messages. Raises `UnusableData` where there are none.
    """
    found = Found()
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
