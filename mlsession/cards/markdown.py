"""Text from outside in Markdown and YAML, so that it is shown as it is and means nothing else; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from mlsession.display.plain import plain, spelled_out
from mlsession.session.phase import Json

_MARKED = re.compile(r"[\\`*_\[\]<>|~&$#{}!]")
"""What GitHub's and the Hub's Markdown, mathematics between dollars among it, take for more than text in a line."""
_LINKED = re.compile(r"(?<=www)\.|:(?=//)|@", re.IGNORECASE)
"""What makes a link of text that is not marked as one."""
_FIRST = re.compile(r"^(?:[-+=]|\d+(?=[.)]))")
"""What begins a list or a heading at the start of a line."""


def escaped(text: object) -> str:
    """A text (a label, a name, a sentence) for anywhere in a line of Markdown, shown as it is.

    Control characters and changes of the direction of writing are spelled out, line breaks too.
    """
    shown = _MARKED.sub(lambda match: f"\\{match[0]}", plain(text))
    shown = _LINKED.sub(lambda match: f"\\{match[0]}", shown)
    first = _FIRST.match(shown)
    if first is None:
        return shown
    start = first[0]
    return f"{start}\\{shown[len(start) :]}" if start.isdigit() else f"\\{shown}"


def escaped_label(label: str) -> str:
    """`escaped`, for the name of a class, which may be empty."""
    return escaped(label) if label.strip() else f"*(the label {escaped(repr(label))})*"


def code(text: str) -> str:
    """A text as code, for anywhere in a line, a table's too; as plain text where it holds what would end the code."""
    return escaped(text) if re.search(r"[`|\\]", text) or plain(text) != text else f"`{text}`"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, of cells that are Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{'-|' * len(header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def fenced_json(value: Mapping[str, Json]) -> list[str]:
    """A block of JSON; what it holds cannot end the block."""
    text = spelled_out_json(json.dumps(value, indent=2, ensure_ascii=False))
    return ["```json", *text.splitlines(), "```"]


def spelled_out_json(text: str) -> str:
    """JSON without characters that are not shown, or that end a block of code; it reads back alike."""
    lines = (line if spelled_out(line) == line else "".join(map(_shown, line)) for line in text.split("\n"))
    return "\n".join(lines).replace("`", "\\u0060")


def _shown(character: str) -> str:
    return character if spelled_out(character) == character else f"\\u{ord(character):04x}"


def yaml_lines(value: Mapping[str, Json], indent: int = 0) -> list[str]:
    """A mapping as YAML in blocks; texts in double quotes, which JSON's are as well."""
    lines: list[str] = []
    for name, member in value.items():
        lines += _entry(f"{' ' * indent}{name}:", member, indent)
    return lines


def _entry(start: str, member: Json, indent: int) -> list[str]:
    if isinstance(member, Mapping):
        return [start, *yaml_lines(member, indent + 2)]
    if not isinstance(member, list):
        return [f"{start} {_scalar(member)}"]
    lines = [start]
    for each in member:
        if isinstance(each, Mapping):
            first, *others = yaml_lines(each, indent + 2)
            lines += [f"{' ' * indent}- {first.lstrip()}", *others]
        else:
            lines.append(f"{' ' * indent}- {_scalar(each)}")
    return lines


def _scalar(value: Json) -> str:
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_.]+)*", value) and value.lower() not in _WORDS:
        return value
    return spelled_out_json(json.dumps(value, ensure_ascii=False))


_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What YAML takes for other things than text."""
