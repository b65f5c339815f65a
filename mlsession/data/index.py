"""The index of a data source: which images there are, in one fixed order; a value, with its stored form and digest."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import DamagedData, InternalError
from mlsession.session.phase import Array

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_BATCH = 65_536
DIGEST_HEADER = b"mlsession image index 1\n"
ROWS_PER_UPDATE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChange:
    """How a data source changed between two indexes; keys, each tuple sorted, no key in two of them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    relabeled: tuple[str, ...] = ()
    """The new keys of images whose label is another one now; see `ImageIndex.compare`."""
    replaced: tuple[str, ...] = ()
    """Same key and label, another size or version; the content may still prove to be the same."""

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.added or self.removed or self.relabeled or self.replaced)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageIndex:
    """Images by row, sorted by key (by code points), so that the order never depends on a listing.

    Raises `InternalError` for columns that do not fit together.
    """

    keys: tuple[str, ...]
    """Relative to the source's root, parts joined by "/"; ascending, no key twice."""
    labels: Array
    """int32 [N], read-only: the row's place in `classes`."""
    sizes: Array
    """int64 [N], read-only: bytes."""
    versions: tuple[str, ...]
    """As the store gave them; compared, never parsed."""
    classes: tuple[str, ...]
    """The labels' names, ascending."""
    ignored: int = 0
    """How many visible files were left out because they are no images or lie outside every class."""

    def __post_init__(self) -> None:
        count = len(self.keys)
        if self.labels.dtype != np.int32 or self.sizes.dtype != np.int64:
            raise InternalError("image index: labels must be int32 and sizes int64")
        if not (self.labels.shape == self.sizes.shape == (count,) and len(self.versions) == count):
            raise InternalError("image index: the columns differ in length")
        if any(first >= second for names in (self.keys, self.classes) for first, second in pairwise(names)):
            raise InternalError("image index: keys and classes must be ascending, without repetition")
        if count and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.classes)):
            raise InternalError("image index: a label is not in classes")
        self.labels.setflags(write=False)
        self.sizes.setflags(write=False)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def class_counts(self) -> Array:
        """int64 [K]: images of each class."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    @property
    def digest(self) -> str:
        """SHA-256 over key, label, size and version of every row, in hexadecimal; computed anew, about 2 s a million.

        Each field goes in as "<length in bytes>:<UTF-8>,", so no two different indexes read alike; classes without
        rows and `ignored` do not count, and neither does how the index is stored.
        """
        digest = hashlib.sha256(DIGEST_HEADER)
        for start in range(0, len(self), ROWS_PER_UPDATE):
            digest.update(b"".join(self._encoded_rows(start, start + ROWS_PER_UPDATE)))
        return digest.hexdigest()

    def _encoded_rows(self, start: int, stop: int) -> Iterator[bytes]:
        columns = (self.keys[start:stop], self.labels[start:stop].tolist(), self.sizes[start:stop].tolist())
        for key, label, size, version in zip(*columns, self.versions[start:stop], strict=True):
            for text in (key, self.classes[label], str(size), version):
                encoded = text.encode()
                yield b"%d:%b," % (len(encoded), encoded)

    def to_bytes(self) -> bytes:
        """An Arrow IPC stream: columns key, label, size, version; classes and `ignored` in the schema's metadata."""
        import pyarrow as pa

        about: dict[bytes | str, bytes | str] = {"classes": json.dumps(self.classes), "ignored": str(self.ignored)}
        columns = [("key", pa.string()), ("label", pa.int32()), ("size", pa.int64()), ("version", pa.string())]
        schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], metadata=about)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as writer:
            for start in range(0, len(self), ROWS_PER_BATCH):
                rows = slice(start, start + ROWS_PER_BATCH)
                arrays: list[pa.Array[pa.Scalar[pa.DataType]]] = [
                    pa.array(self.keys[rows], type=pa.string()),
                    pa.array(self.labels[rows], type=pa.int32()),
                    pa.array(self.sizes[rows], type=pa.int64()),
                    pa.array(self.versions[rows], type=pa.string()),
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageIndex:
        """Read `to_bytes` back. Raises `DamagedData`."""
        import pyarrow as pa

        try:
            table = pa.ipc.open_stream(data).read_all()
            # Arrow trusts what it reads: an offset that leads out of its buffer would be followed.
            table.validate(full=True)
            about = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
            return cls(
                keys=_texts(table["key"].to_pylist()),
                labels=_column(table, "label", np.int32),
                sizes=_column(table, "size", np.int64),
                versions=_texts(table["version"].to_pylist()),
                classes=_texts(json.loads(about["classes"])),
                ignored=int(about["ignored"]),
            )
        except (pa.ArrowException, LookupError, TypeError, ValueError, OSError, RecursionError, InternalError) as error:
            raise DamagedData("image index", " ".join(str(error).split())[:300]) from error

    def compare(self, now: ImageIndex) -> IndexChange:
        """What changed from this index to `now`.

        An image counts as relabelled when its key has another label, or when the only file removed and the only file
        added with the same path below the label's folder and the same size have different labels: a file that was
        moved to another class. Only what that leaves counts as added and removed.
        """
        before = {key: row for row, key in enumerate(self.keys)}
        added, relabeled, replaced = [], [], []
        for row, key in enumerate(now.keys):
            old = before.pop(key, None)
            if old is None:
                added.append(row)
            elif self.classes[self.labels[old]] != now.classes[now.labels[row]]:
                relabeled.append(key)
            elif self.sizes[old] != now.sizes[row] or self.versions[old] != now.versions[row]:
                replaced.append(key)
        moved = dict(_moves(self, before.values(), now, added))
        left = set(moved.values())
        return IndexChange(
            added=tuple(now.keys[row] for row in added if row not in moved),
            removed=tuple(key for key, row in before.items() if row not in left),
            relabeled=tuple(sorted([*relabeled, *(now.keys[row] for row in moved)])),
            replaced=tuple(replaced),
        )


def _moves(
    before: ImageIndex, removed: Iterable[int], now: ImageIndex, added: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """(row now, row before) of the files that were moved to another class."""

    def by_place(index: ImageIndex, rows: Iterable[int]) -> dict[tuple[str, int], list[int]]:
        places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for row in rows:
            key = index.keys[row]
            places[key.partition("/")[2] or key, int(index.sizes[row])].append(row)
        return places

    candidates = by_place(before, removed)
    for place, rows in by_place(now, added).items():
        old = candidates.get(place, [])
        if len(rows) == len(old) == 1 and before.classes[before.labels[old[0]]] != now.classes[now.labels[rows[0]]]:
            yield rows[0], old[0]


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise ValueError("something else than text stands where only text may")
    for text in values:
        text.encode()  # Half a character cannot be written again.
    return tuple(values)


def _column(table: pyarrow.Table, name: str, dtype: type[np.generic]) -> Array:
    column = table[name]
    if str(column.type) != np.dtype(dtype).name or column.null_count:
        raise ValueError(f"column {name} is {column.type}, {column.null_count} of it missing")
    # `to_numpy` of a table would import pandas, which takes longer than all else that shows a session.
    parts: list[Array] = [np.from_dlpack(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, dtype)
