"""Events that have come from another process as JSON, back as the values that they were there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from types import MappingProxyType

from mlsession import events
from mlsession.events import Event

_KINDS: Mapping[str, type[Event]] = MappingProxyType(
    {
        re.sub(r"(?<!^)(?=[A-Z])", "_", each.__name__).lower(): each
        for each in vars(events).values()
        if isinstance(each, type) and issubclass(each, Event)
    }
)


def event_from_json(told: Mapping[str, object]) -> Event | None:
    """Reads `Event.to_json` back, with its date and without its number; None for what no event of ours is."""
    kind = _KINDS.get(str(told.get("event")))
    if kind is None:
        return None
    wanted = {item.name for item in fields(kind)} - {"number"}
    values = {name: _value(name, value) for name, value in told.items() if name in wanted}
    try:
        return kind(**values)  # type: ignore[arg-type]
    except TypeError:
        return None


def _value(name: str, value: object) -> object:
    if name == "date" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
