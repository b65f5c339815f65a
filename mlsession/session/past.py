"""What earlier phases left behind, read back from the store and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mlsession.errors import InternalError
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import decode_arrays, decode_state, read_blob
from mlsession.session.log.pages import additive_blobs
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
        return decode_state(self.read(entry.state), entry.state.key)

    def newest_commit(self, phase: str) -> int:
        return self._entry(phase).number

    def rows(self, phase: str, block: int = 4096) -> Iterator[Arrays]:
        held: list[dict[str, Array]] = []
        num_held = 0
        for ref in additive_blobs(self._timeline, phase, self.read):
            held.append(decode_arrays(self.read(ref), ref.key))
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

    def attachment(self, name: str) -> bytes:
        """A named input of the session, checked. Raises `KeyError` if it has none of that name."""
        opened = self._timeline.opened
        extra = opened.body.get("attachments")
        if isinstance(extra, dict) and name in extra:
            return self.read(BlobRef.from_json(extra[name]))
        return self.read(Identity.from_record(opened).attachments[name])

    def read(self, ref: BlobRef) -> bytes:
        """The checked bytes of a blob. Raises `DamagedData`."""
        return read_blob(self._store, ref)

    def _entry(self, phase: str) -> CheckpointEntry:
        entry = self._timeline.newest.get(phase)
        if entry is None:
            raise InternalError(f"phase {phase} has committed nothing yet")
        return entry


def _join(parts: list[dict[str, Array]]) -> dict[str, Array]:
    if any(part.keys() != parts[0].keys() for part in parts):
        raise InternalError("a phase's additive output changed its names from one save to the next")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _num_rows(arrays: dict[str, Array]) -> int:
    return len(next(iter(arrays.values())))
