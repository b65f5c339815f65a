"""How a source of pictures is read: the one way to open it for whoever reads them, or lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlsession.clock import Clock, SystemClock
from mlsession.errors import InvalidParameter, StoreUnavailable
from mlsession.store.location import redact
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff, Heed, OnRetry, RetryingStore
from mlsession.store.timely import timely_opener

READ_TIMEOUT = 300.0
"""Seconds after which a value that a remote source does not give is asked for again, while no other one is read."""
UNHEARD_PATIENCE = 60.0
"""Seconds for which an unreachable source is tried again where nobody hears of it."""


def unheard(operation: str, error: StoreUnavailable, attempt: int, delay: float) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """What a reader of a source bears with, and who hears of it.

    A read of a far store that takes longer than `read_timeout` seconds is given up, and asked for again alone; what
    fails for a while is tried again as `backoff` says, of which `on_retry` hears; `heed` may end all waiting.
    `caller` and `admitted` are those of `RetryingStore`.
    """

    clock: Clock = field(default_factory=SystemClock)
    read_timeout: float = READ_TIMEOUT
    backoff: Backoff = field(default_factory=lambda: Backoff(give_up_after=UNHEARD_PATIENCE))
    on_retry: OnRetry = unheard
    heed: Heed | None = None
    caller: str = ""
    admitted: bool = False

    def __post_init__(self) -> None:
        if not self.read_timeout > 0:
            raise InvalidParameter("read_timeout", self.read_timeout, "must be above 0")

    def opener(self, url: str, open_store: Callable[[], Store]) -> Callable[[], Store]:
        """How to open handles on the source at `url`, of which `open_store` opens a bare one.

        All of them together know which reads took too long.
        """
        opened = timely_opener(redact(url), open_store, self.clock, self.read_timeout, self.heed)

        def patient() -> Store:
            return RetryingStore(
                opened(), self.clock, self.backoff, self.on_retry, self.caller, heed=self.heed, admitted=self.admitted
            )

        return patient
