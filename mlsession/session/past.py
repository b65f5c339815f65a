"""What earlier phases left behind, read back from the store and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from mlsession.errors import DamagedData, InternalError
from mlsession.session.identity import Identity, opened_attachments
from mlsession.session.log.blobs import as_written, decode_arrays, decode_state, read_blob, read_in_order
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import Timeline
from mlsession.session.phase import Array, Arrays, PhaseState
from mlsession.store.protocol import Store


class StoredPast:
    """The `Past` of a timeline."""

    def __init__(self, store: Store, timeline: Timeline) -> None:
        self._store = store
        self._timeline = timeline

    @property
    def newest(self) -> Mapping[str, CheckpointEntry]:
        """The newest commit of each phase."""
        return self._timeline.newest

    def state(self, phase: str) -> PhaseState:
        entry = self._entry(phase)
        state = decode_state(self.read(entry.state), entry.state.key)
        return replace(state, shards=tuple(partial(self._arrays, ref) for ref in entry.shards))

    def newest_commit(self, phase: str) -> int:
        return self._entry(phase).number

    def rows(self, phase: str, block: int = 4096, names: Collection[str] | None = None) -> Iterator[Arrays]:
        held: list[dict[str, Array]] = []
        num_held = 0
        refs = Journal(self._store).additive(self._timeline, phase)
        for ref, data in read_in_order(self._store, refs):
            held.append(_rows_of(_chosen(decode_arrays(data.result(), ref.key), names, ref.key), held, ref.key))
            del data  # The next blob needs the room.
            num_held += _num_rows(held[-1])
            if num_held >= block:
                # Joined once a block, not once a blob: a blob may hold a single row.
                joined = _join(held)
                for start in range(0, num_held - block + 1, block):
                    yield {name: array[start : start + block] for name, array in joined.items()}
                num_held %= block
                held = [{name: array[len(array) - num_held :] for name, array in joined.items()}]
        if num_held:
            yield _join(held)

    def whole_rows(self, phase: str) -> Iterator[Arrays]:
        """What is whole of the additive output of a phase, in order, blob by blob.

        Raises `DamagedData` where neither index nor records tell which blobs there are.
        """
        for ref, data in read_in_order(self._store, Journal(self._store).additive(self._timeline, phase)):
            try:
                rows = decode_arrays(data.result(), ref.key)
            except DamagedData:
                continue
            yield rows

    def attachment(self, name: str) -> bytes:
        """A named input of the session, checked. Raises `KeyError` if it has none of that name."""
        opened = self._timeline.opened
        refs = {**Identity.from_record(opened).attachments, **opened_attachments(opened)}
        return self.read(refs[name])

    def read(self, ref: BlobRef) -> bytes:
        """The checked bytes of a blob. Raises `DamagedData`."""
        return read_blob(self._store, ref)

    def _arrays(self, ref: BlobRef) -> Arrays:
        return decode_arrays(self.read(ref), ref.key)

    def _entry(self, phase: str) -> CheckpointEntry:
        entry = self._timeline.newest.get(phase)
        if entry is None:
            raise InternalError(f"phase {phase} has committed nothing yet")
        return entry


def _chosen(arrays: dict[str, Array], names: Collection[str] | None, key: str) -> dict[str, Array]:
    with as_written(key):
        return arrays if names is None else {name: arrays[name] for name in names}


def _rows_of(arrays: dict[str, Array], before: list[dict[str, Array]], key: str) -> dict[str, Array]:
    """The arrays, if they are rows, and go on from those before. Raises `DamagedData`."""
    if not arrays or any(array.ndim == 0 for array in arrays.values()):
        raise DamagedData(key, "it holds no rows")
    if len({len(array) for array in arrays.values()}) != 1:
        raise DamagedData(key, "its arrays have not equally many rows")
    if before and _form_of(arrays) != _form_of(before[-1]):
        raise DamagedData(key, "its rows are of another form than those before")
    return arrays


def _form_of(arrays: dict[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (str(array.dtype), array.shape[1:]) for name, array in arrays.items()}


def _join(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _num_rows(arrays: dict[str, Array]) -> int:
    return len(next(iter(arrays.values())))
