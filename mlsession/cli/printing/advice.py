"""What is advised, as lines of a terminal; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlsession.cli.printing.program import program
from mlsession.cli.printing.text import command_line, plain

if TYPE_CHECKING:
    from mlsession.advising.advice import Verdict


def advice_lines(verdict: Verdict, secrets: Sequence[str] = ()) -> list[str]:
    """Two to four lines; `secrets` are the storage options that every command on the session needs."""
    advice = verdict.advice
    lines = [
        f"advice: {plain(advice.limit)}",
        f"  why: {plain(advice.evidence)}",
        f"  try: {plain(advice.next_step)}",
    ]
    return [*lines, f"    {command_line([*program(), *advice.command, *secrets])}"] if advice.command else lines


def advice_rows(verdict: Verdict) -> list[tuple[str, str]]:
    """The same as rows of a name and what is said of it."""
    first, *others = advice_lines(verdict)
    return [("advice", first.removeprefix("advice: ")), *(("", line.strip()) for line in others)]
