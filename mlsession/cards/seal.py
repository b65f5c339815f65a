"""Whether a card is as it was written, so that none is replaced that somebody has worked on; pure."""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(r"\n<!-- Written by mlsession\. SHA-256 of all above: ([0-9a-f]{64}) -->\n?\Z")


def sealed(text: str) -> str:
    """A card with its digest at the end, in a comment that is not shown. `text` ends with a line break."""
    return f"{text}\n<!-- Written by mlsession. SHA-256 of all above: {_digest(text)} -->\n"


def is_sealed(text: str) -> bool:
    """Whether a card was written by `sealed`, and nothing was changed since, but for the kind of its line breaks."""
    plain = text.replace("\r\n", "\n")
    match = _SEAL.search(plain)
    return match is not None and _digest(plain[: match.start()]) == match[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
