"""What a store is asked, and what may go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What a store is asked."""

    GET = "get"
    GET_RANGE = "get_range"
    PUT = "put"
    CREATE = "create"
    """`put_if_absent`."""
    LIST = "list"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call on a store."""

    number: int
    """From 1, over all the handles of one process."""
    operation: Operation
    key: str
    """Of a listing: the folder, as it was given."""


class Fault(StrEnum):
    """What goes wrong with a call; `can_befall` says which calls."""

    CRASH_BEFORE = "crash_before"
    """The process dies, and nothing was done."""
    CRASH_HALFWAY = "crash_halfway"
    """The process dies in the middle of a write: on a store that tears, half of the bytes lie under the key."""
    CRASH_AFTER = "crash_after"
    """The process dies once the call was done, and never learns its outcome."""
    LOST_REPLY = "lost_reply"
    """Done, then `StoreUnavailable`, whatever the outcome was."""
    EXISTS = "exists"
    """Done, then `KeyExists` for the caller's own bytes: a client that lost the reply, and asked again by itself."""
    CONFLICT = "conflict"
    """409: not done, `StoreUnavailable`."""
    UNAVAILABLE = "unavailable"
    """503: not done, `StoreUnavailable`."""
    TIMED_OUT = "timed_out"
    """Not done, `StoreUnavailable`."""
    EXPIRED = "expired"
    """Not done, and what the stores of this package raise for credentials that have run out."""
    DENIED = "denied"
    """403: not done, `StoreDenied`."""
    NO_SPACE = "no_space"
    """Not done, `StoreFull`."""
    STALE_LISTING = "stale_listing"
    """A listing that lags behind; see `FaultyStore`."""
    DELAY = "delay"
    """Done after a sleep on the process's clock, while its other threads go on."""
    FLIPPED_BIT = "flipped_bit"
    """One bit of what is read or stored is wrong, and nobody says so."""
    TRUNCATED = "truncated"
    """Of what is read or stored only the first half, and nobody says so."""
    SWAPPED = "swapped"
    """The bytes of another key of the same folder in place of those asked for; nothing happens where there is none."""


WRITES = frozenset({Operation.PUT, Operation.CREATE, Operation.DELETE})
"""What changes a store."""

CRASHES = frozenset({Fault.CRASH_BEFORE, Fault.CRASH_HALFWAY, Fault.CRASH_AFTER})
"""What a process does not survive."""

_READS = frozenset({Operation.GET, Operation.GET_RANGE})
_OF_BYTES = _READS | {Operation.PUT, Operation.CREATE}
_BEFALLS = {
    Fault.EXISTS: frozenset({Operation.CREATE}),
    Fault.CONFLICT: WRITES,
    Fault.NO_SPACE: frozenset({Operation.PUT, Operation.CREATE}),
    Fault.STALE_LISTING: frozenset({Operation.LIST}),
    Fault.FLIPPED_BIT: _OF_BYTES,
    Fault.TRUNCATED: _OF_BYTES,
    Fault.SWAPPED: _READS,
}


def can_befall(fault: Fault, operation: Operation) -> bool:
    """Whether a call of this kind can meet this fault; one that cannot takes place as if nothing had been planned."""
    return operation in _BEFALLS.get(fault, frozenset(Operation))
