"""The index of a data source: which images there are, in one fixed order; a value, with its stored form and digest."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlsession.data.texts import Texts
from mlsession.errors import DamagedData, InternalError
from mlsession.session.phase import Array

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_BATCH = 65_536
FEW_KEYS = 100_000
"""So many are looked up in 0.1 s by Python; Arrow is five times as fast, and takes 0.4 s to load what it needs."""
DIGEST_HEADER = b"mlsession image index 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChange:
    """How a data source changed between two indexes; keys, each tuple sorted, no key in two of them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    relabeled: tuple[str, ...] = ()
    """The new keys of images whose label is another one now; see `ImageIndex.compare`."""
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict, compare=False)
    """The label of each of these before, and now."""
    replaced: tuple[str, ...] = ()
    """Same key and label, another size or version; the content may still prove to be the same."""

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.added or self.removed or self.relabeled or self.replaced)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageIndex:
    """Images by row, sorted by key (by code points), so that the order never depends on a listing.

    Held as columns: a million images take some 150 MB, and what is done to all of them numpy does. Raises
    `InternalError` for columns that do not fit together, and `UnicodeEncodeError`.
    """

    keys: Sequence[str]
    """Relative to the source's root, parts joined by "/"; ascending, no key twice. Held as `Texts`."""
    labels: Array
    """int32 [N], read-only: the row's place in `classes`."""
    sizes: Array
    """int64 [N], read-only: bytes."""
    versions: Sequence[str]
    """As the store gave them; compared, never parsed. Held as `Texts`."""
    classes: tuple[str, ...]
    """The labels' names, ascending."""
    ignored: int = 0
    """How many visible files were left out because they are no images or lie outside every class."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", Texts.of(self.keys))
        object.__setattr__(self, "versions", Texts.of(self.versions))
        count = len(self.keys)
        if self.labels.dtype != np.int32 or self.sizes.dtype != np.int64:
            raise InternalError("image index: labels must be int32 and sizes int64")
        if not (self.labels.shape == self.sizes.shape == (count,) and len(self.versions) == count):
            raise InternalError("image index: the columns differ in length")
        if not Texts.of(self.keys).is_ascending() or any(first >= second for first, second in pairwise(self.classes)):
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
        """SHA-256 over key, label, size and version of every row, in hexadecimal; computed anew, 0.3 s a million.

        Column by column: where each row ends, then the texts, so no two different indexes read alike; classes without
        rows and `ignored` do not count, and neither does how the index is stored.
        """
        digest = hashlib.sha256(DIGEST_HEADER)
        digest.update(len(self).to_bytes(8, "little"))
        for texts in (Texts.of(self.keys), Texts.of(self.classes).take(self.labels.astype(np.int64)), self._versions):
            digest.update(texts.offsets[1:].astype("<i8").data)
            digest.update(texts.data.data)
        digest.update(self.sizes.astype("<i8").data)
        return digest.hexdigest()

    @property
    def _versions(self) -> Texts:
        return Texts.of(self.versions)

    def rows_of(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64 [n]: the row of each of some keys, -1 for those that it has not."""
        if len(self) + len(keys) <= FEW_KEYS:
            rows_by_key = {key: row for row, key in enumerate(self.keys)}
            return np.fromiter((rows_by_key.get(key, -1) for key in keys), dtype=np.int64, count=len(keys))
        import pyarrow.compute as pc

        found = pc.index_in(_arrow(Texts.of(keys)), value_set=_arrow(Texts.of(self.keys))).fill_null(-1)
        rows: npt.NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

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
                    _arrow(Texts.of(self.keys[rows])),
                    _arrow_numbers(self.labels[rows], pa.int32()),
                    _arrow_numbers(self.sizes[rows], pa.int64()),
                    _arrow(Texts.of(self.versions[rows])),
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
                keys=_text_column(table, "key"),
                labels=_column(table, "label", np.int32),
                sizes=_column(table, "size", np.int64),
                versions=_text_column(table, "version"),
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
        same = self.keys == now.keys
        old = np.arange(len(now)) if same else self.rows_of(now.keys)
        rows = np.flatnonzero(old >= 0)
        old = old[rows]
        added = [] if same else np.setdiff1d(np.arange(len(now)), rows).tolist()
        removed = [] if same else np.setdiff1d(np.arange(len(self)), old).tolist()
        places = {name: place for place, name in enumerate(self.classes)}
        labels = np.array([places.get(name, -1) for name in now.classes], dtype=np.int32)
        relabeled = labels[now.labels[rows]] != self.labels[old]
        before, after = (
            (self._versions, now._versions) if same else (self._versions.take(old), now._versions.take(rows))
        )
        replaced = ~relabeled & ((self.sizes[old] != now.sizes[rows]) | before.differs_from(after))
        moved = dict(_moves(self, removed, now, added))
        left = set(moved.values())
        others = {**dict(zip(rows[relabeled].tolist(), old[relabeled].tolist(), strict=True)), **moved}
        names = {
            now.keys[row]: (self.classes[self.labels[row_before]], now.classes[now.labels[row]])
            for row, row_before in others.items()
        }
        return IndexChange(
            added=tuple(now.keys[row] for row in added if row not in moved),
            removed=tuple(self.keys[row] for row in removed if row not in left),
            relabeled=tuple(sorted(names)),
            labels=names,
            replaced=tuple(now.keys[row] for row in rows[replaced].tolist()),
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


def _arrow(texts: Texts) -> pyarrow.Array[pyarrow.Scalar[pyarrow.DataType]]:
    """The same texts for Arrow, of which the bytes are shared; `string` where they fit, which a batch does."""
    import pyarrow as pa

    if len(texts.data) < 2**31:
        buffers = [None, pa.py_buffer(texts.offsets.astype(np.int32).data), pa.py_buffer(texts.data.data)]
        return pa.Array.from_buffers(pa.string(), len(texts), buffers)
    buffers = [None, pa.py_buffer(texts.offsets.data), pa.py_buffer(texts.data.data)]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def _arrow_numbers(values: Array, kind: pyarrow.DataType) -> pyarrow.Array[pyarrow.Scalar[pyarrow.DataType]]:
    """The same numbers for Arrow; its own `array` would import pandas, which takes a second."""
    import pyarrow as pa

    converted = np.ascontiguousarray(values, dtype=str(kind))
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(converted.data)])


def _text_column(table: pyarrow.Table, name: str) -> Texts:
    """A column of a table that was validated: all of it is UTF-8."""
    column = table[name]
    if str(column.type) != "string" or column.null_count:
        raise ValueError(f"column {name} is {column.type}, {column.null_count} of it missing")
    data, offsets = [np.zeros(0, dtype=np.uint8)], [np.zeros(1, dtype=np.int64)]
    for chunk in column.chunks:
        _, places, letters = chunk.buffers()
        if len(chunk) == 0 or places is None:
            continue
        here = np.frombuffer(memoryview(places), dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].astype(
            np.int64
        )
        data.append(np.frombuffer(memoryview(letters or b""), dtype=np.uint8)[here[0] : here[-1]])
        offsets.append(here[1:] - here[0] + offsets[-1][-1])
    return Texts(np.concatenate(data), np.concatenate(offsets))


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
