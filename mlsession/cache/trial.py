"""What may fail without harm: tried until it fails once, then left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from mlsession.errors import StoreError

T = TypeVar("T")


class Trial:
    """Whether something is still tried; for any number of threads."""

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._usable = True

    @property
    def usable(self) -> bool:
        """Whether it is still tried."""
        return self._usable

    def give_up(self) -> None:
        """Leaves it alone from now on."""
        self._usable = False

    def attempt(self, work: Callable[[], T]) -> T | None:
        """What some work gives; None where the store has failed, now or before. It is said once."""
        if not self._usable:
            return None
        try:
            return work()
        except StoreError as error:
            with self._lock:
                first, self._usable = self._usable, False
            if first:
                self._on_failure(str(error))
            return None
