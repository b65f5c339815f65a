"""Text from outside as it may be shown anywhere: on a terminal, in a log, in a page; pure."""

from __future__ import annotations

import re

MOST = 5_000
"""Characters that are shown of one text: more than any path or message needs, less than fills a screen for long."""

# What moves the cursor, colours, rings, breaks lines, turns the direction of writing, or is no character by itself.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: object) -> str:
    """A text (a label, a path, a message) on one line, with control characters written as escapes.

    Of a very long one the beginning, and how much there is.
    """
    whole = str(text)
    shown = spelled_out(whole[:MOST])
    return shown if len(whole) <= MOST else f"{shown}... ({len(whole):,} characters)"


def spelled_out(text: str) -> str:
    """The same of any length, for what somebody copies."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
