"""docs/events.md names every kind of event and its members, and nothing else."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from mlsession import events
from mlsession.events import Event, WriterLost

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


def stated() -> dict[str, list[str]]:
    """The members by kind, as the document has them."""
    rows = re.findall(r"^\| `(\w+)` \| (`[^|]*`) \| ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return {kind: re.findall(r"`(\w+)`", members) for kind, members in rows}


def test_each_kind_is_stated_with_its_members() -> None:
    kinds = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)]
    base = {item.name for item in fields(Event)}
    found = {}
    for kind in kinds:
        if kind is not Event:
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
            found[name] = [item.name for item in fields(kind) if item.name not in base]
    assert len(found) > 20
    assert stated() == found


def test_the_members_of_all_events_are_stated() -> None:
    (rows,) = re.findall(r"\| member \| type .*?\n\n", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names = re.findall(r"^\| `(\w+)`", rows, re.MULTILINE)
    assert list(WriterLost(host="h", pid=1, reason="r").to_json())[:3] == names
