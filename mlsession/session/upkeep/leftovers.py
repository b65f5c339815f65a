"""What a killed writer leaves half-written on a disk of this machine, and who sees to it: the next writer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from mlsession.session.log.layout import blob_folder
from mlsession.session.log.timeline import Timeline
from mlsession.store.local import LocalStore
from mlsession.store.protocol import Store

SHARED_SECONDS = 60.0
"""How old a temporary file must be, in the folders that several openers may write to at a time. Writing one takes
milliseconds there: they hold records and signs of life, and what a session is created with."""


def tidy_after(before: Timeline, open_store: Callable[[], Store]) -> int:
    """Removes what the writer before this one was writing when it was killed; how many files that was.

    For a writer whose `opened` record is committed: the one before is fenced out, so that nothing of its blobs can
    become part of the session any more. `before` is the state that it opened the session on. One that said how it
    ended has left nothing. In stores that take writes whole there is nothing to remove.
    """
    if before.closed is not None:
        return 0
    with closing(open_store()) as store:
        if not isinstance(store, LocalStore):
            return 0
        opening = before.opened.number
        theirs = store.remove_leftovers(blob_folder(opening), older_than=0) if opening else 0
        shared = ("log", "heartbeat", "control", "probe", blob_folder(0))
        return theirs + sum(store.remove_leftovers(folder, older_than=SHARED_SECONDS) for folder in shared)
