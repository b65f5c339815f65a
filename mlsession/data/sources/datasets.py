"""A dataset in memory as a source: any sized object that gives image and label, such as those of torchvision and of
Hugging Face.

Rows are its keys: row 7 is `000000007`. Its images are known by their pixels: an array or a PIL image is taken as the
bytes of a lossless file, the same bytes for the same pixels, so that features are found again and copies are noticed.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.data.sources.dataset_rows import (
    Dataset,
    class_names,
    image_bytes,
    label_text,
    label_values,
    part_of_item,
)
from mlsession.data.sources.place import Place
from mlsession.errors import InvalidParameter, KeyMissing, StoreDenied, UnusableData
from mlsession.session.phase import Array, Json
from mlsession.store.keys import check_read_key
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range

SCHEME = "dataset"
_KEY_DIGITS = 9
_CURE = (
    "it lives in the memory of the process that made it: call Classifier.train again with the same dataset, parameters "
    "and session, which goes on from what is committed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByDataset:
    """The dataset says of each row which label it has. It cannot be opened again from what is stored of it."""

    count: int
    """Rows."""
    classes: tuple[str, ...]
    """The labels that occur, ascending."""
    digest: str
    """SHA-256 of the labels of all rows, in order, as a JSON array without blanks, in hexadecimal."""
    dataset: Dataset | None = field(default=None, compare=False, repr=False)
    """None where a session's record was read."""
    image: str = field(default="image", compare=False)
    """The name of the image in a row that is a mapping."""
    labels: Array | None = field(default=None, compare=False, repr=False)
    """int32 [N]: the row's place in `classes`."""
    kind: ClassVar[str] = "dataset"

    @classmethod
    def of(cls, dataset: Dataset, image: str, label: str, classes: Sequence[str] | None) -> ByDataset:
        """Reads the labels, of a column or of `targets` where there are such, else row by row.

        Raises `InvalidParameter` for what is no dataset, `UnusableData` with the row that has no label.
        """
        for name in ("__len__", "__getitem__"):
            if not hasattr(type(dataset), name):
                reason = "must have a length and give (image, label) by row; make a list of one that only iterates"
                raise InvalidParameter("dataset", type(dataset).__name__, reason)
        names = class_names(dataset, label) if classes is None else tuple(classes)
        texts = [label_text(value, row, names) for row, value in enumerate(label_values(dataset, label))]
        if not texts:
            raise UnusableData("dataset", "it has no rows; give one with images")
        found, places = np.unique(np.array(texts, dtype=object), return_inverse=True)
        listed = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
        return cls(
            count=len(texts),
            classes=tuple(found.tolist()),
            digest=hashlib.sha256(listed.encode()).hexdigest(),
            dataset=dataset,
            image=image,
            labels=places.astype(np.int32),
        )

    @property
    def url(self) -> str:
        """Names the dataset in messages; no other process can open it."""
        return f"{SCHEME}://{self.digest[:16]}"

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        if self.dataset is None or self.labels is None:
            raise self._absent()
        if len(self.classes) < min_classes:
            raise UnusableData(place.shown, f"the only class is {self.classes[0]!r}; add rows of further labels")
        return ImageIndex(
            keys=[_key(row) for row in range(self.count)],
            labels=self.labels,
            sizes=np.zeros(self.count, dtype=np.int64),
            versions=[""] * self.count,
            classes=self.classes,
        )

    def store(self) -> DatasetStore:
        """A store of the rows. Raises `UnusableData` where the dataset is not at hand."""
        if self.dataset is None:
            raise self._absent()
        return DatasetStore(self.url, self.dataset, self.count, self.image)

    def rows(self, rows: Sequence[int]) -> ByDataset:
        """The same for some of its rows."""
        if self.dataset is None or self.labels is None:
            raise self._absent()
        targets = [self.classes[place] for place in self.labels[list(rows)].tolist()]
        return ByDataset.of(_SomeRows(self.dataset, tuple(rows), targets), self.image, "label", None)

    def to_json(self) -> dict[str, Json]:
        return {"count": self.count, "classes": list(self.classes), "labels": self.digest}

    def _absent(self) -> UnusableData:
        shown = f"{', '.join(self.classes[:3])}{', ...' if len(self.classes) > 3 else ''}"
        return UnusableData(f"the dataset of {self.count:,} images ({shown})", _CURE)


class _SomeRows:
    """Some rows of a dataset, as one of their own."""

    def __init__(self, dataset: Dataset, rows: Sequence[int], targets: Sequence[str]) -> None:
        self._dataset = dataset
        self._rows = rows
        self.targets = targets

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Any:
        return self._dataset[self._rows[row]]


class DatasetStore:
    """The images of a dataset by key, read only; any number of threads may read, of which one asks at a time."""

    def __init__(self, url: str, dataset: Dataset, count: int, image: str) -> None:
        self._url = url
        self._dataset = dataset
        self._count = count
        self._image = image
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def shares_reads(self) -> bool:
        """See `mlsession.store.sharing`."""
        return True

    def get(self, key: str) -> bytes:
        check_read_key(key)
        if not (key.isdecimal() and int(key) < self._count and key == _key(int(key))):
            raise KeyMissing(f"{self._url}: there is no row {key}", key)
        row = int(key)
        with self._lock:
            try:
                item = self._dataset[row]
            except Exception as error:
                text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                reason = f"row {row} cannot be had ({text}); correct the dataset, or leave the row out"
                raise UnusableData(self._url, reason) from error
        return image_bytes(part_of_item(item, self._image, 0, row), row)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        return self.get(key)[start:stop]

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for row in range(self._count if not prefix else 0):
            yield Entry(key=_key(row), size=0, version="")

    def put(self, key: str, data: bytes) -> None:
        raise self._is_read_only(key)

    def put_if_absent(self, key: str, data: bytes) -> None:
        raise self._is_read_only(key)

    def delete(self, key: str) -> None:
        raise self._is_read_only(key)

    def close(self) -> None:
        """There is nothing to close."""

    def _is_read_only(self, key: str) -> StoreDenied:
        return StoreDenied(f"{self._url}: a dataset is only read", key)


def _key(row: int) -> str:
    return f"{row:0{_KEY_DIGITS}d}"
