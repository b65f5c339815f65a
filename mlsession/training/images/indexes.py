"""The indexes of images that a session recorded; where one is damaged, the data of today may still give the same.

An index is an input: no record can make it again, and without it nobody knows which labels a head was trained for. But
as long as the data are untouched, listing them gives the same bytes, which their recorded SHA-256 proves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData, StoreError, UsageError
from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import blob_digest
from mlsession.session.opening import attach
from mlsession.session.past import StoredPast
from mlsession.session.session import TrainingSession
from mlsession.store.protocol import Store
from mlsession.training.images.inputs import TEST_INDEX, TRAINING_INDEX, VALIDATION_INDEX
from mlsession.training.request import Indexes, recorded_request

_CURE = (
    "it lists the images that the session is of, and listing its data does not give the same today: put the data back "
    "as they were, or put back a copy of the session's folder, then the same call goes on"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedIndex:
    """An index as it was recorded."""

    index: ImageIndex
    damaged: str = ""
    """The key of its stored bytes if they are damaged, and the data were listed again in their place."""
    again: bytes = b""
    """Then, what must lie there."""


def read_index(
    session: TrainingSession, name: str, past: StoredPast | None = None, found: Indexes | None = None
) -> RecordedIndex:
    """An index that a session recorded, `past` of some checkpoint, or of its newest opening. Only reads.

    `found` is what the caller has listed of the session's data, if it has. Raises `DamagedData` where the stored bytes
    are damaged and those of today are others, and `KeyError` where there is no index of that name.
    """
    try:
        return RecordedIndex(index=ImageIndex.from_bytes((past or session.past).attachment(name)))
    except DamagedData as damage:
        again = _listed(session, name, found)
        if not again or sha256(again) != blob_digest(damage.key):
            raise DamagedData(damage.key, f"{damage.reason}; {_CURE}") from damage
        return RecordedIndex(index=ImageIndex.from_bytes(again), damaged=damage.key, again=again)


def put_back_indexes(session: TrainingSession, open_store: Callable[[], Store]) -> tuple[str, ...]:
    """Stores again what is damaged of the indexes of a session's newest opening, where its data still give the same.

    Returns the keys. Raises `StoreError`.
    """
    put: list[str] = []
    held = session.identity.attachments.keys() | session.attachments.keys()
    for name in (TRAINING_INDEX, VALIDATION_INDEX, TEST_INDEX):
        try:
            recorded = read_index(session, name) if name in held else None
        except DamagedData:
            continue  # Whoever needs it says so.
        if recorded is not None and recorded.damaged:
            with closing(open_store()) as store:
                attach(store, recorded.again)
            put.append(recorded.damaged)
    return tuple(put)


def _listed(session: TrainingSession, name: str, found: Indexes | None) -> bytes:
    """The bytes of such an index today; empty where the data cannot be listed."""
    try:
        if found is not None:
            indexes = {TRAINING_INDEX: found.training, VALIDATION_INDEX: found.validation, TEST_INDEX: found.test}
            index = indexes.get(name)
        else:
            request = recorded_request(session)
            sources = {
                TRAINING_INDEX: request.data,
                VALIDATION_INDEX: request.validation,
                TEST_INDEX: request.testing,
            }
            source = sources.get(name)
            index = None if source is None else source.index(min_classes=1)
    except (DamagedData, UsageError, StoreError):
        return b""
    return b"" if index is None else index.to_bytes()
