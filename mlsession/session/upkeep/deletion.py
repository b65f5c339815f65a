"""Deleting a session: all that it wrote, and nothing else.

The newest records go first, then everything that no longer belongs to a record, and record 0 last: a deletion that is
cut short leaves a session that stands at an earlier point, and that the same call deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlsession.clock import Clock
from mlsession.events import Event
from mlsession.session.log.layout import FOLDERS, is_ours, record_key, record_number
from mlsession.session.opening import open_session, repeating, require_session
from mlsession.store.local import LocalStore
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedSession:
    """What was deleted."""

    url: str
    num_files: int
    size_bytes: int
    kept: tuple[str, ...]
    """Keys in the folder that are not a session's; they were not touched."""


def delete_session(store: Store, clock: Clock, stale_after: float, emit: Callable[[Event], None]) -> DeletedSession:
    """Deletes the session under the store's root, after becoming its writer, so that no other writes to it meanwhile.

    Of a local folder the sub-folders go, too, and the folder itself once it is empty. Raises `SessionInUse` if another
    writer is alive, `SessionNotFound`, `ForeignFiles`, `NewerFormat`, `DamagedData` for a log that cannot be read
    (who writes it cannot be known then), and `StoreError`; the same call goes on after each of them.
    """
    known = require_session(store)
    # A session whose deletion is cut short still knows its data.
    writer, _ = open_session(store, clock, repeating(known.timeline.opened, stale_after), emit)
    sizes = {entry.key: entry.size for entry in store.list()}
    ours = deletion_order(filter(is_ours, sizes), writer.opening)
    for key in deletion_order((*ours, *_unlisted_records(sizes, writer.opening)), writer.opening):
        store.delete(key)
    if isinstance(store, LocalStore):
        store.remove_empty_folders(FOLDERS)
    return DeletedSession(
        url=store.url,
        num_files=len(ours),
        size_bytes=sum(sizes[key] for key in ours),
        kept=tuple(sorted(key for key in sizes if not is_ours(key))),
    )


def _unlisted_records(listed: Iterable[str], opening: int) -> tuple[str, ...]:
    """The records that a stale listing does not show yet: the newest ones.

    If they outlived record 0, the folder could neither be opened nor used again. Blobs that such a listing hides stay
    behind; they belong to nothing, and are deleted with the next session there.
    """
    last = max((number for key in listed if (number := record_number(key)) is not None), default=-1)
    return tuple(record_key(number) for number in range(last + 1, opening + 1))


def deletion_order(keys: Iterable[str], opening: int) -> tuple[str, ...]:
    """The keys of a session in the order to delete them in; `opening` is the opening that keeps others out."""
    last = (record_key(opening), record_key(0))

    def place(key: str) -> tuple[int, int, str]:
        if key in last:
            return (2, last.index(key), key)
        number = record_number(key)
        return (1, 0, key) if number is None else (0, -number, key)

    return tuple(sorted(set(keys), key=place))
