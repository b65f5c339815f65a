"""Which records a log has: its end, and the numbers in a part of it, without listing more than that takes.

A log of 100,000 records is 100 pages of a bucket's listing, one after the other. Where a store can list from the
middle, a few records are looked for to find a place near the end, and the listing begins there. It is the listing that
says where the log ends, so gaps (records that are lost) cannot hide what lies behind them; they only make it longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.records import MOST_NUMBER
from mlsession.store.bulk import PAGE, get_many, list_between, list_page
from mlsession.store.protocol import Entry, Store

FOLDER = "log"
FAN = 8
"""Records that are looked for at once."""


def listed_numbers(store: Store, first: int = 0) -> Iterator[int]:
    """The numbers from `first` on under which a listing, which may be stale, shows records; see `list_between`."""
    after = record_key(first - 1) if first > 0 else ""
    return _numbers(list_between(store, FOLDER, after, record_key(MOST_NUMBER)))


def last_number(store: Store) -> int | None:
    """The largest number that a listing, which may be stale, shows; None if it shows none."""
    page = list_page(store, FOLDER, "", PAGE)
    known = max(_numbers(page), default=None) if page is not None else None
    if page is not None and len(page) < PAGE:
        return known
    if known is None:
        return max(listed_numbers(store), default=None)
    near = _near_end(store, known)
    return max(listed_numbers(store, near + 1), default=near)


def _near_end(store: Store, low: int) -> int:
    """A record that is there, given one that is: of a log without gaps, one of its last `PAGE`."""
    reached = _newest(store, [low + PAGE * FAN**power for power in range(FAN)], low)
    low, width = reached, (reached - low) * (FAN - 1)
    while width > PAGE:
        width = -(-width // FAN)
        low = _newest(store, [low + width * turn for turn in range(1, FAN)], low)
    return low


def _newest(store: Store, candidates: list[int], otherwise: int) -> int:
    keys = {record_key(number): number for number in candidates if number <= MOST_NUMBER}
    found = get_many(store, dict.fromkeys(keys, 1))
    return max((keys[key] for key in found), default=otherwise)


def _numbers(entries: Iterable[Entry]) -> Iterator[int]:
    numbers = (record_number(entry.key) for entry in entries)
    return (number for number in numbers if number is not None)
