"""Which packs of a feature cache were used when, without a clock; and which of them to delete first. Pure.

Every run that used packs leaves a mark: a file named by its generation, one more than the largest that it saw, with
the generation of each pack that it used. Marks are folded by the larger generation, so it does not matter who folds
which when (after L. Lamport, "Time, clocks, and the ordering of events in a distributed system", CACM 1978). A mark
that is lost, or two of one generation, let a pack be deleted sooner than another: that costs time alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from mlsession.cache.packs import ROOT
from mlsession.errors import DamagedData
from mlsession.session.log.canonical import canonical_json, parse_object, sha256
from mlsession.session.log.members import as_count

MARKS = f"{ROOT}/used/"
MARK_BYTES = 4 * 2**20
"""A mark is shorter: of fifty thousand packs."""
_LATEST = 10**10 - 2

Uses = Mapping[str, int]
"""The newest generation in which a pack was used, by the pack's key below `ROOT`."""


def generation_of(mark: str) -> int:
    """The generation in the key of a mark; 0 for another key."""
    number = mark.removeprefix(MARKS).partition("-")[0]
    return min(int(number), _LATEST) if number.isascii() and number.isdigit() else 0


def next_generation(marks: Iterable[str]) -> int:
    """That of a run which sees these marks."""
    return max(map(generation_of, marks), default=0) + 1


def encode_mark(uses: Uses) -> tuple[str, bytes]:
    """Key and bytes of the mark that says this; its generation is the largest in it."""
    data = canonical_json(dict(sorted(uses.items())))
    return f"{MARKS}{max(uses.values(), default=1):010d}-{sha256(data)[:16]}", data


def fold(marks: Mapping[str, bytes]) -> dict[str, int]:
    """What marks, by key, say together; one that cannot be read says nothing."""
    uses: dict[str, int] = {}
    for key, data in marks.items():
        try:
            said = {pack: as_count(number) for pack, number in parse_object(data, key).items()}
        except (DamagedData, ValueError):
            continue
        for pack, number in said.items():
            # No more than its name says: else whoever writes a large number would keep a pack for ever.
            uses[pack] = max(uses.get(pack, 0), min(number, generation_of(key)))
    return uses


def victims(sizes: Mapping[str, int], uses: Uses, limit: int, kept: Collection[str], folder: str) -> list[str]:
    """The packs to delete so that the rest has `limit` bytes at most, or as few more as `kept` allows.

    Those used longest ago go first, of equally old ones those outside of `folder`. Packs that nobody has marked yet
    count as used just now: their run may still be going on.
    """
    newest = max(uses.values(), default=0) + 1
    excess, chosen = sum(sizes.values()) - limit, list[str]()
    order = sorted(sizes, key=lambda key: (uses.get(_named(key), newest), key.startswith(f"{folder}/"), key))
    for key in order:
        if excess <= 0:
            break
        if key not in kept:
            chosen.append(key)
            excess -= sizes[key]
    return chosen


def marked(packs: Iterable[str], generation: int) -> dict[str, int]:
    """The uses of packs, by key, in one generation."""
    return dict.fromkeys(map(_named, packs), generation)


def _named(key: str) -> str:
    return key.removeprefix(f"{ROOT}/")
