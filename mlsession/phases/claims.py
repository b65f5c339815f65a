"""What several workers find missing at once is made by one of them: the same image may lie in a folder twice."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from mlsession.extractors.halves import Halves


class Row:
    """A row in the making."""

    __slots__ = ("_changed", "_is_settled", "_row")

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._is_settled = False
        self._row: Halves | None = None

    def result(self) -> Halves | None:
        """Waits until it is settled: float16 [D], or None where it could not be made."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_settled)
            return self._row

    @property
    def is_settled(self) -> bool:
        """To be asked under the lock of its claims."""
        return self._is_settled

    def settle(self, row: Halves | None) -> None:
        """Under the lock of its claims; the first time counts."""
        if not self._is_settled:
            self._row, self._is_settled = row, True


class Claims:
    """Rows in the making, by key; for any number of threads.

    Whoever has taken keys settles all of them, whatever happens, before it waits for those of others: so nobody waits
    for ever.
    """

    def __init__(self) -> None:
        # One for all rows: most are at hand, and nobody waits for them.
        self._changed = threading.Condition()
        self._rows: dict[bytes, Row] = {}

    def take(self, keys: Sequence[bytes]) -> tuple[set[bytes], dict[bytes, Row]]:
        """Those of the keys that nobody makes: the caller does from now on; and of each key the row to wait for.

        That gives None where the row could not be made.
        """
        with self._changed:
            mine = {key for key in keys if key not in self._rows}
            self._rows |= {key: Row(self._changed) for key in mine}
            return mine, {key: self._rows[key] for key in keys}

    def settle(self, key: bytes, row: Halves) -> None:
        """Gives the row of a key that was taken, float16 [D], to all who wait for it."""
        with self._changed:
            if key in self._rows:
                self._rows[key].settle(row)
                self._changed.notify_all()

    def give_up(self, keys: Collection[bytes]) -> None:
        """Forgets those of the keys taken that are not settled: their rows cannot be made, or need not be."""
        with self._changed:
            for key in keys:
                row = self._rows.get(key)
                if row is not None and not row.is_settled:
                    row.settle(None)
                    del self._rows[key]
            self._changed.notify_all()

    def forget(self, key: bytes) -> None:
        """Lets go of a key if it is settled: from now on its row is to be had elsewhere, or to be made again."""
        with self._changed:
            if key in self._rows and self._rows[key].is_settled:
                del self._rows[key]
