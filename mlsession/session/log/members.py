"""Members of stored JSON, held to the type that they must have; each raises `ValueError` for another. Pure."""

from __future__ import annotations

from datetime import datetime

from mlsession.session.phase import Json

MOST = 2**53 - 1
"""The largest whole number of the format."""


def as_object(value: Json) -> dict[str, Json]:
    """An object."""
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return value


def as_list(value: Json) -> list[Json]:
    """A list."""
    if not isinstance(value, list):
        raise ValueError("a list was expected")
    return value


def as_text(value: Json) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError("a text was expected")
    return value


def as_date(value: Json) -> str:
    """A text that is a date with its time zone, ISO 8601."""
    text = as_text(value)
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a date with its time zone was expected")
    return text


def as_integer(value: Json) -> int:
    """A whole number, of those that a float holds exactly, too: the format has no larger ones."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a whole number was expected")
    if abs(value) > MOST:
        raise ValueError("a whole number is too large")
    return value


def as_count(value: Json) -> int:
    """A whole number of 0 or more."""
    count = as_integer(value)
    if count < 0:
        raise ValueError("a whole number of 0 or more was expected")
    return count


def as_number(value: Json) -> float:
    """A number, as a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("a number was expected")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
