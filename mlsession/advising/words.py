"""Figures and names in sentences; pure."""

from __future__ import annotations

from collections.abc import Sequence

from mlsession.advising.intervals import Share
from mlsession.display.plain import plain

MOST_NAMED = 3


def percent(share: float) -> str:
    """0.9833 as "98.3 %"."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """0.131 as "13.1 points"."""
    return f"{100 * share:.1f} points"


def of(share: Share) -> str:
    """ "94.5 % (189 of 200)"."""
    return f"{percent(share.value)} ({share.part:,} of {share.count:,})"


def named(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b, c and 4 more"."""
    shown = [plain(name) for name in names[:MOST_NAMED]]
    if len(names) > MOST_NAMED:
        return f"{', '.join(shown)} and {len(names) - MOST_NAMED:,} more"
    return " and ".join([*([", ".join(shown[:-1])] if len(shown) > 1 else []), shown[-1]])


def leading(step: str, says: str, command: Sequence[str]) -> str:
    """A step, and what the command below it says; without a command the step alone."""
    return f"{step}{says}:" if command else step


def plural(count: int, noun: str) -> str:
    """ "1 image", "1,200 images"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
