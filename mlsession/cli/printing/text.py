"""Words, numbers and names as a terminal may show them; pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence

from mlsession.display.plain import plain, spelled_out

__all__ = ["byte_size", "command_line", "duration", "figure", "number_of", "one_line", "percent", "plain"]


def one_line(message: object) -> str:
    """A message with its line breaks as spaces; other control characters as `plain` writes them."""
    return plain(" ".join(str(message).split()))


def percent(share: float) -> str:
    """0.9833 as "98.3 %"; "-" where it is undefined."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "-"


def figure(value: float) -> str:
    """A score to three places; "-" where it is undefined."""
    return f"{value:.3f}" if math.isfinite(value) else "-"


def number_of(count: int, noun: str) -> str:
    """ "1 image", "1,200 images"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """ "0.4 s", "12 s", "2 min 5 s", "3 h 20 min"."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def byte_size(count: int) -> str:
    """ "812 bytes", "4.6 MB"; decimal units."""
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{count:,} bytes" if count < 1000 else f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def command_line(words: Sequence[str]) -> str:
    """Words as a shell takes them, without what is secret: credentials in URLs, values of storage options."""
    from mlsession.store.location import redact  # Not for those who only want help.

    shown: list[str] = []
    for word in words:
        after_option = bool(shown) and shown[-1] == "--storage-option"
        name, separator, value = word.partition("=")
        if after_option:
            shown.append(f"{name}=***")
        elif name == "--storage-option" and separator:
            shown.append(f"{name}={value.partition('=')[0]}=***")
        elif name.startswith("--") and separator:
            shown.append(f"{name}={redact(value)}")
        else:
            shown.append(redact(word))
    return spelled_out(" ".join(map(_quoted, shown)))


def _quoted(word: str) -> str:
    # A hidden value stays readable: whoever copies the line has to put the value in anyway.
    return word if re.fullmatch(r"[\w@%+=:,./*-]*\*\*\*", word) else shlex.quote(word)
