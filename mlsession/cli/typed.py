"""A command line told apart: options with their texts, flags, and words that stand for themselves; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLAGS = frozenset(
    f"--{name}"
    for name in (
        *("allow-truncated", "clear", "create-only", "deep", "details", "dry-run", "errors", "fine-tune", "json"),
        *("manifest", "no-wait", "normalize", "take-over", "verify-content", "wait", "yes"),
    )
)
"""The options of all commands that take no text: a word after one is the command's own."""


@dataclass(frozen=True, slots=True)
class TypedOption:
    """An option as it was typed."""

    name: str
    """With its dashes."""
    text: str | None
    """What follows it; None for a flag, and where the line ends."""


@dataclass(frozen=True, slots=True)
class TypedLine:
    """A command line, in the order of typing."""

    options: tuple[TypedOption, ...]
    words: tuple[str, ...]
    """The command's name, and what is neither an option nor the text of one."""

    def text_of(self, option: str) -> str | None:
        """What was typed for an option, the last time; None for nothing."""
        return next((each.text for each in reversed(self.options) if each.name == option), None)


def typed_line(arguments: Sequence[str]) -> TypedLine:
    """Tells a line apart as the commands do: an option that is no flag takes the next word, whatever that is.

    >>> typed_line(["status", "--json", "s"]).words
    ('status', 's')
    """
    options, words, place = list[TypedOption](), list[str](), 0
    while place < len(arguments):
        word, place = arguments[place], place + 1
        if word == "--":
            words += arguments[place:]
            break
        if not word.startswith("--"):
            words.append(word)
            continue
        name, separator, text = word.partition("=")
        if separator or name in FLAGS or place == len(arguments):
            options.append(TypedOption(name, text if separator else None))
        else:
            options.append(TypedOption(name, arguments[place]))
            place += 1
    return TypedLine(tuple(options), tuple(words))
