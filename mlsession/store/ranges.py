"""Ranges of bytes; pure."""

from __future__ import annotations

from mlsession.errors import InvalidParameter


def check_range(start: int, stop: int) -> None:
    """Raise `InvalidParameter` unless 0 <= start <= stop."""
    if not 0 <= start <= stop:
        raise InvalidParameter("range", (start, stop), "a range of bytes has 0 <= start <= stop")
