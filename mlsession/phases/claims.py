"""What several workers find missing at once is made by one of them: the same image may lie in a folder twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeAlias

from mlsession.extractors.halves import Halves

Row: TypeAlias = "Future[Halves | None]"


class Claims:
    """Rows in the making, by key; for any number of threads.

    Whoever has taken keys settles all of them, whatever happens, before it waits for those of others: so nobody waits
    for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, Row] = {}

    def take(self, keys: Sequence[bytes]) -> tuple[set[bytes], dict[bytes, Row]]:
        """Those of the keys that nobody makes: the caller does from now on; and of each key the row to wait for.

        That gives None where the row could not be made.
        """
        with self._lock:
            mine = {key for key in keys if key not in self._rows}
            self._rows |= {key: Future() for key in mine}
            return mine, {key: self._rows[key] for key in keys}

    def settle(self, key: bytes, row: Halves | None) -> None:
        """Gives the row of a key that was taken, float16 [D], to all who wait for it, unless they have one.

        None where it cannot be made: then it is forgotten, too.
        """
        with self._lock:
            future = self._rows.get(key)
            if future is not None and not future.done():
                future.set_result(row)
                if row is None:
                    del self._rows[key]

    def forget(self, key: bytes) -> None:
        """Lets go of a settled key: from now on its row is to be had elsewhere, or to be made again."""
        with self._lock:
            self._rows.pop(key, None)
