"""The root of all events, and its form in JSON; the events themselves are in `mlsession.events`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

Scalar = str | int | float | bool | None

NOT_EMITTED = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events. `number` counts from 1 within a job; 0 means not yet emitted."""

    number: int = 0
    date: datetime = NOT_EMITTED
    """When it happened, UTC; by the clock of the machine that it happened on."""

    def to_json(self) -> dict[str, object]:
        """A JSON object: `event` is the class name in snake_case, dates are ISO 8601."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"event": kind} | {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
